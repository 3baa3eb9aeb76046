"""Processes that train one model together, each on its share of every batch: what they exchange.

One process alone is a group of one, where nothing is exchanged. How processes start and end is `processes.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from proxies.errors import PeerLostError
from proxies.memory import is_out_of_memory

_BUCKET_ELEMENTS: Final = 2**26
"""Gradients exchanged at once: 256 MB in float32, above which a larger message is no faster."""

_TIMEOUT: Final = timedelta(hours=1)
"""Of one exchange. The parent sees lost processes long before; this is for one that stands still."""


class Sharing(Protocol):
    """What those need to know who share rows out and add their results up."""

    @property
    def count(self) -> int:
        """Processes in all."""

    def share(self, rows_BT: NDArray[Any]) -> NDArray[Any]:
        """Return this process's rows."""

    def sum_(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over the processes, in place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among those that train together. All exchanges are collective: every process must take part."""

    rank: int = 0
    count: int = 1

    def share(self, rows_BT: NDArray[Any]) -> NDArray[Any]:
        """Return this process's rows: those of all processes are equally many (where they divide) and disjoint."""
        return rows_BT[self.rank :: self.count]

    def sum_(self, tensor: Tensor) -> Tensor:
        """Add up a tensor over the processes, in place; the sum is the same on each, bit for bit."""
        if self.count > 1:
            _exchange(lambda: dist.all_reduce(tensor))
        return tensor

    def mean_(self, tensor: Tensor) -> Tensor:
        """Average a tensor over the processes, in place."""
        return self.sum_(tensor).div_(self.count) if self.count > 1 else tensor

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every parameter the mean of its gradients on all processes.

        Parameters without a gradient have none anywhere: each process runs the same model.
        """
        if self.count == 1:
            return
        for bucket in _buckets(parameter for parameter in parameters if parameter.grad is not None):
            flat = torch.cat([parameter.grad.flatten() for parameter in bucket if parameter.grad is not None])
            self.mean_(flat)
            means = torch.split(flat, [parameter.numel() for parameter in bucket])
            for parameter, mean in zip(bucket, means, strict=True):
                parameter.grad = mean.view_as(parameter)


ALONE: Final = Ranks()


def join(*, rank: int, count: int, device: torch.device, rendezvous: Path) -> Ranks:
    """Make this process one of `count`; they find each other by the file `rendezvous`, which none has written before.

    Raises:
        PeerLostError: not all of them came.
    """
    is_gpu = device.type == "cuda"
    if is_gpu:
        torch.cuda.set_device(device)
    _exchange(
        lambda: dist.init_process_group(
            "nccl" if is_gpu else "gloo",
            init_method=rendezvous.absolute().as_uri(),
            rank=rank,
            world_size=count,
            timeout=_TIMEOUT,
            device_id=device if is_gpu else None,
        )
    )
    return Ranks(rank=rank, count=count)


def _exchange(communicate: Callable[[], object]) -> None:
    try:
        communicate()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise PeerLostError(f"An exchange between the processes of one training failed: {error}") from error


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Yield parameters in order, together as many as one exchange takes and of one dtype."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        num_elements = sum(each.numel() for each in bucket) + parameter.numel()
        if bucket and (num_elements > _BUCKET_ELEMENTS or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket
