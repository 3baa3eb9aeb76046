"""Per-step weight normalization of a model whose matrices are spread over processes by rows, as FSDP2 spreads them.

Rows that read the residual stream lie whole on one process; a column of a matrix that writes to it spans all, so their
sums of squares are added up: all columns of a model in one exchange. What is normalised is `weight_norm.py`.
"""

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Shard

from operators.backends import AUTO
from operators.model import HybridLM
from operators.precision import wide_dtype
from operators.weight_norm import SMALLEST_LENGTH, NormalizedMatrix, WeightNormalization, normalized_matrices
from search_spaces.errors import SpecError


class ShardedWeightNormalization:
    """Normalises one sharded model's weights whenever asked to; every process must take part."""

    def __init__(self, model: HybridLM, *, backend: str = AUTO) -> None:
        """Collect the matrices of a model that `fully_shard` has been applied to, between two steps.

        `backend` is that of the rows, see `WeightNormalization`.

        Raises:
            SpecError: an operator leaves a matrix undeclared, or one is not sharded by rows.
            UnavailableError: no such backend, or it cannot run here.
        """
        self.matrices = normalized_matrices(model)
        self._group = _shard_group(matrix.weight for matrix in self.matrices)
        self._columns = tuple(matrix.weight for matrix in self.matrices if matrix.part == "column")
        self._rows = WeightNormalization(self._local_rows(), backend=backend)

    @torch.no_grad()
    def apply_(self) -> None:
        """Normalise every matrix, in place, lengths taken in float32 or wider."""
        self._rows.matrices = self._local_rows()
        self._rows.apply_()
        # A process without a row of a matrix adds zeros.
        local = [_local_part(weight) for weight in self._columns]
        squares = [torch.linalg.vector_norm(part, dim=0, dtype=wide_dtype(part)).square_() for part in local]
        if not squares:
            return
        every = torch.cat(squares)
        dist.all_reduce(every, group=self._group)
        lengths = torch.split(every.sqrt_().clamp_(min=SMALLEST_LENGTH), [part.shape[1] for part in local])
        for part, length in zip(local, lengths, strict=True):
            part.div_(length)

    @torch.no_grad()
    def _local_rows(self) -> tuple[NormalizedMatrix, ...]:
        rows = (matrix.weight for matrix in self.matrices if matrix.part == "row")
        return tuple(NormalizedMatrix(weight=_local_part(weight), part="row") for weight in rows)


def _local_part(weight: Tensor) -> Tensor:
    """Return the rows that this process holds, sharing their memory."""
    assert isinstance(weight, DTensor)
    return weight.to_local()


def _shard_group(weights: Iterable[Tensor]) -> dist.ProcessGroup:
    """Return the processes that hold one copy of the model together, the same for each matrix."""
    groups: dict[tuple[int, ...], dist.ProcessGroup] = {}
    for weight in weights:
        placements = weight.placements if isinstance(weight, DTensor) else ()
        sharded = [axis for axis, placement in enumerate(placements) if isinstance(placement, Shard)]
        if not isinstance(weight, DTensor) or len(sharded) != 1 or placements[sharded[0]] != Shard(0):
            raise SpecError(
                "Sharded weight normalization needs every matrix sharded by rows over one axis of the mesh, as "
                f"fully_shard does it; got one of shape {tuple(weight.shape)} placed {placements or 'on one process'}. "
                "Apply fully_shard to the whole model first, and normalise between steps, not within one."
            )
        group = weight.device_mesh.get_group(sharded[0])
        groups[tuple(dist.get_process_group_ranks(group))] = group
    (group,) = groups.values()
    return group
