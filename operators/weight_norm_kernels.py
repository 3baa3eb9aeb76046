"""Weight normalization of all matrices of a model in one launch.

A program takes a few rows of a matrix that reads the residual stream, or a few columns of one that writes to it, walks
over them once for their lengths and once to divide by them; the second walk finds most of them in the cache. Which
program takes what stands in a table made once (`weight_norm.py`).
"""

from typing import Final

import triton
import triton.language as tl
from torch import Tensor

ROWS_A_PROGRAM: Final = 4
COLUMNS_A_PROGRAM: Final = 64
"""128 bytes of bfloat16, twice that of float32: whole cache lines."""

STRIDE: Final = 256
"""Numbers of a row, and rows of a block of columns, that a program takes at once."""

TABLE_COLUMNS: Final = 5
"""Of the table: address, rows, columns, whether rows are normalised, first row or column."""


@triton.jit
def _normalize(table_ptr, DTYPE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEP: tl.constexpr):
    entry = table_ptr + tl.program_id(0) * 5
    weight_ptr = tl.load(entry).to(tl.pointer_type(DTYPE))
    num_rows, num_columns, first = tl.load(entry + 1), tl.load(entry + 2), tl.load(entry + 4)
    if tl.load(entry + 3) == 1:
        _normalize_rows(weight_ptr, num_rows, num_columns, first, ROWS, STEP)
    else:
        _normalize_columns(weight_ptr, num_rows, num_columns, first, ROWS * STEP // COLUMNS, COLUMNS)


@triton.jit
def _normalize_rows(weight_ptr, num_rows, num_columns, first, ROWS: tl.constexpr, STEP: tl.constexpr):
    row = first + tl.arange(0, ROWS)[:, None]
    squares = tl.zeros((ROWS, STEP), dtype=tl.float32)
    for start in range(0, num_columns, STEP):
        column = start + tl.arange(0, STEP)[None, :]
        is_inside = (row < num_rows) & (column < num_columns)
        w = tl.load(weight_ptr + row * num_columns + column, mask=is_inside, other=0.0).to(tl.float32)
        squares += w * w
    scale = _inverse_length(tl.sum(squares, 1))[:, None]
    for start in range(0, num_columns, STEP):
        column = start + tl.arange(0, STEP)[None, :]
        is_inside = (row < num_rows) & (column < num_columns)
        at = weight_ptr + row * num_columns + column
        tl.store(at, tl.load(at, mask=is_inside, other=0.0).to(tl.float32) * scale, mask=is_inside)


@triton.jit
def _normalize_columns(weight_ptr, num_rows, num_columns, first, STEP: tl.constexpr, COLUMNS: tl.constexpr):
    column = first + tl.arange(0, COLUMNS)[None, :]
    squares = tl.zeros((STEP, COLUMNS), dtype=tl.float32)
    for start in range(0, num_rows, STEP):
        row = start + tl.arange(0, STEP)[:, None]
        is_inside = (row < num_rows) & (column < num_columns)
        w = tl.load(weight_ptr + row * num_columns + column, mask=is_inside, other=0.0).to(tl.float32)
        squares += w * w
    scale = _inverse_length(tl.sum(squares, 0))[None, :]
    for start in range(0, num_rows, STEP):
        row = start + tl.arange(0, STEP)[:, None]
        is_inside = (row < num_rows) & (column < num_columns)
        at = weight_ptr + row * num_columns + column
        tl.store(at, tl.load(at, mask=is_inside, other=0.0).to(tl.float32) * scale, mask=is_inside)


@triton.jit
def _inverse_length(squares):
    return 1.0 / tl.sqrt(tl.where(squares == 0.0, 1.0, squares))


def normalize_(table: Tensor, *, dtype: str) -> None:
    """Normalise everything a table names, in place, in one launch.

    Args:
        table: int64 [programs, TABLE_COLUMNS] on the device of the matrices, which are contiguous and of one dtype.
        dtype: Their dtype by Triton's name, such as `float32`.
    """
    _normalize[(len(table),)](
        table,
        DTYPE=getattr(tl, dtype),
        ROWS=ROWS_A_PROGRAM,
        COLUMNS=COLUMNS_A_PROGRAM,
        STEP=STRIDE,
        num_warps=4,
    )
