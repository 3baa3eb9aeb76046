"""Per-step weight normalization: rows that read the residual stream and columns that write to it have length 1.

After each optimizer step, for a matrix [C_out, C_in]: projections from the stream, the embedding and an untied head get
unit-norm rows, projections to the stream unit-norm columns [NF 2.4]. Which is which each operator declares itself;
convolutions, norms, decays, step sizes and skips stay as they are, and so do the meta tokens: they are a state, no map.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from operators.backends import AUTO, REFERENCE, BackendChoice
from operators.model import HybridLM
from operators.precision import wide_dtype
from search_spaces.errors import SpecError

SMALLEST_LENGTH: Final = 1e-30
"""What a length is taken for where it is zero: a row of zeros, such as that of a token never seen, stays one."""

Part = Literal["row", "column"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NormalizedMatrix:
    """One matrix and which of its parts have length 1."""

    weight: Tensor
    part: Part


def normalized_matrices(model: HybridLM) -> tuple[NormalizedMatrix, ...]:
    """Return every matrix of a model that weight normalization concerns, each once.

    Raises:
        SpecError: an operator has a matrix that it declares as neither reading, nor writing, nor inner.
    """
    found = [NormalizedMatrix(weight=model.embedding, part="row")]
    if model.head is not None:
        found.append(NormalizedMatrix(weight=model.head, part="row"))
    for layer in model.residual_operators:
        operator = layer.operator
        reads, writes = operator.reads_residual(), operator.writes_residual()
        declared = {id(weight) for weight in (*reads, *writes, *operator.inner_matrices())}
        for name, parameter in operator.named_parameters():
            if parameter.ndim >= 2 and id(parameter) not in declared:
                raise SpecError(
                    f"{type(operator).__name__} must declare every matrix as reading the residual stream, writing to "
                    f"it, or inner; {name} of shape {tuple(parameter.shape)} is in none of reads_residual(), "
                    "writes_residual() and inner_matrices(). Add it to one of them."
                )
        found += [NormalizedMatrix(weight=weight, part="row") for weight in reads]
        found += [NormalizedMatrix(weight=weight, part="column") for weight in writes]
    return tuple(found)


class WeightNormalization:
    """Normalises one model's weights whenever asked to; `triton` takes one launch for all of them."""

    def __init__(self, of: HybridLM | tuple[NormalizedMatrix, ...], *, backend: str = AUTO) -> None:
        """Collect the matrices of a model, whole on its device, or take those given: at least one.

        Weights that several processes hold parts of are normalised by `sharded_weight_norm.py`.

        Raises:
            SpecError: an operator leaves a matrix undeclared.
            UnavailableError: no such backend, or it cannot run here.
        """
        self.matrices = normalized_matrices(of) if isinstance(of, HybridLM) else of
        self.backends = BackendChoice(
            operator="WeightNormalization",
            requested=backend,
            sequence=("triton", REFERENCE),
            step=("triton", REFERENCE),
        )
        self._table: tuple[tuple[int, ...], dict[str, Tensor]] | None = None

    @torch.no_grad()
    def apply_(self) -> None:
        """Normalise every matrix, in place, lengths taken in float32 or wider."""
        if self.backends.at("sequence", self.matrices[0].weight) == REFERENCE:
            for matrix in self.matrices:
                normalize_(matrix.weight, part=matrix.part)
            return
        from operators.weight_norm_kernels import normalize_ as normalize_all_

        for dtype, table in self._tables().items():
            normalize_all_(table, dtype=dtype)

    def _tables(self) -> dict[str, Tensor]:
        """Return what every program does, by dtype; made again where a matrix has moved."""
        addresses = tuple(matrix.weight.data_ptr() for matrix in self.matrices)
        if self._table is None or self._table[0] != addresses:
            self._table = addresses, _tables(self.matrices)
        return self._table[1]


def normalize_(weight: Tensor, *, part: Part) -> None:
    """Give every row, or every column, of a matrix length 1, in place; one of zeros stays.

    In float32 its numbers must lie between 1e-19 and 1e19, whose squares it adds up.
    """
    length = torch.linalg.vector_norm(weight, dim=1 if part == "row" else 0, keepdim=True, dtype=wide_dtype(weight))
    weight.div_(length.clamp_(min=SMALLEST_LENGTH))


def _tables(matrices: tuple[NormalizedMatrix, ...]) -> dict[str, Tensor]:
    from operators.weight_norm_kernels import COLUMNS_A_PROGRAM, ROWS_A_PROGRAM

    entries: dict[str, list[Tensor]] = defaultdict(list)
    for matrix in matrices:
        weight = matrix.weight
        if not weight.is_contiguous():
            raise SpecError(f"Fused weight normalization needs contiguous matrices; got strides {weight.stride()}.")
        rows, columns = weight.shape
        extent, each = (rows, ROWS_A_PROGRAM) if matrix.part == "row" else (columns, COLUMNS_A_PROGRAM)
        first = torch.arange(0, extent, each)
        constants = torch.tensor([weight.data_ptr(), rows, columns, int(matrix.part == "row")])
        entries[str(weight.dtype).removeprefix("torch.")].append(
            torch.cat((constants.expand(len(first), -1), first[:, None]), dim=1)
        )
    return {dtype: torch.cat(parts).to(matrices[0].weight.device) for dtype, parts in entries.items()}
