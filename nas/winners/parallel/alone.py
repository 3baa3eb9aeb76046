"""One process that trains by itself: nothing is exchanged."""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.winners.parallel.whole_model import WholeModel

if TYPE_CHECKING:
    from nas.winners.loss import TrainingLoss


class Alone(WholeModel):
    """See `Parallel`."""

    rank = 0
    count = 1
    is_first = True
    group = None

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def prepare(self, loss: "TrainingLoss") -> nn.Module:
        """Return it as it is."""
        return loss

    def share(self, rows_BT: NDArray[Any]) -> NDArray[Any]:
        """Return all rows."""
        return rows_BT

    def accumulating(self, module: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return a context of nothing."""
        return nullcontext()

    def sum_(self, tensor: Tensor) -> Tensor:
        """Return it as it is."""
        return tensor

    def mean_(self, tensor: Tensor) -> Tensor:
        """Return it as it is."""
        return tensor

    def any_(self, is_so: bool) -> bool:
        """Return it as it is."""
        return is_so

    def barrier(self) -> None:
        """Wait for nobody."""
