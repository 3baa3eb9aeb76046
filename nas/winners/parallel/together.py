"""What all processes that train one model together share, however the model is spread over them.

What is exchanged on the way back through the model is each implementation's; how processes find each other is
`joining.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from operators.model import HybridLM
from proxies.ranks import Ranks

if TYPE_CHECKING:
    from nas.winners.loss import TrainingLoss


class Together(ABC):
    """See `Parallel`."""

    def __init__(self, ranks: Ranks, *, device: torch.device) -> None:
        """Take processes that have joined one process group; every one of them must do so."""
        self.device = device
        # Messages of a thread must not meet those of the training.
        self.group: dist.ProcessGroup | None = dist.new_group(backend="gloo")
        self._ranks = ranks

    @property
    def rank(self) -> int:
        """Of this process, from 0."""
        return self._ranks.rank

    @property
    def count(self) -> int:
        """Processes in all."""
        return self._ranks.count

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is written once."""
        return self._ranks.rank == 0

    @abstractmethod
    def prepare(self, loss: "TrainingLoss") -> nn.Module:
        """Return what gives this process's loss, and exchanges gradients on the way back."""

    @abstractmethod
    def accumulating(self, module: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
        """Return the context of one micro-batch: gradients are exchanged in the last."""

    @abstractmethod
    def clip_(self, parameters: Sequence[nn.Parameter], *, max_norm: float) -> Tensor:
        """Scale all gradients to a global norm of at most `max_norm`; return the norm before."""

    @abstractmethod
    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the global norm of parameters or gradients."""

    @abstractmethod
    def weight_normalization(self, model: HybridLM) -> Callable[[], None]:
        """Return what brings the weights back to length 1."""

    def share(self, rows_BT: NDArray[Any]) -> NDArray[Any]:
        """Return this process's rows; those of all processes are disjoint."""
        return self._ranks.share(rows_BT)

    def sum_(self, tensor: Tensor) -> Tensor:
        """Add a plain tensor up over the processes, in place.

        Raises:
            PeerLostError: another process is gone.
        """
        return self._ranks.sum_(tensor)

    def mean_(self, tensor: Tensor) -> Tensor:
        """Average a plain tensor over the processes, in place.

        Raises:
            PeerLostError: another process is gone.
        """
        return self._ranks.mean_(tensor)

    def any_(self, is_so: bool) -> bool:
        """Return whether it is so in any process."""
        return bool(self.sum_(torch.tensor(float(is_so), device=self.device)) > 0)

    def barrier(self) -> None:
        """Wait for all."""
        self.any_(False)
