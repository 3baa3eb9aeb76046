"""What the training loop asks of the processes that train one model together.

Not how they start, which is the launcher's, nor how a model is spread over them: that is each implementation's. One
process alone is `alone.py`. All calls but `share` are collective: every process makes the same ones in the same order.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from operators.model import HybridLM

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

    from nas.winners.loss import TrainingLoss


class Parallel(Protocol):
    """This process among those that train together."""

    @property
    def rank(self) -> int:
        """Of this process, from 0."""

    @property
    def count(self) -> int:
        """Processes in all."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes what is written once: log, recipe, progress."""

    @property
    def device(self) -> torch.device:
        """Where this process computes."""

    @property
    def group(self) -> "ProcessGroup | None":
        """A group over all processes with a CPU backend that nothing but the checkpoints' thread uses; none alone."""

    def prepare(self, loss: "TrainingLoss") -> nn.Module:
        """Return what gives this process's loss of its rows as `loss` does, and exchanges gradients on the way back.

        `loss.model` is on `device` with the same weights in every process. Names of its parameters stay what they are;
        the parameters themselves may be others afterwards (DTensors). Called once, before the optimizer is made.
        """

    def share(self, rows_BT: NDArray[Any]) -> NDArray[Any]:
        """Return this process's rows of an array that every process has."""

    def accumulating(self, module: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
        """Return the context of one micro-batch, forward and backward: gradients are exchanged in the last."""

    def clip_(self, parameters: Sequence[nn.Parameter], *, max_norm: float) -> Tensor:
        """Scale all gradients so that their global norm is at most `max_norm`; return the norm before."""

    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the global norm of parameters or gradients, the same in every process."""

    def weight_normalization(self, model: HybridLM) -> Callable[[], None]:
        """Return what brings the weights back to length 1; called after `prepare`."""

    def sum_(self, tensor: Tensor) -> Tensor:
        """Add a plain tensor up over the processes, in place."""

    def mean_(self, tensor: Tensor) -> Tensor:
        """Average a plain tensor over the processes, in place."""

    def any_(self, is_so: bool) -> bool:
        """Return whether it is so in any process."""

    def barrier(self) -> None:
        """Wait for all."""
