"""Matrix-vector products of one-token decoding in one kernel: norm before, bias and residual or activation after.

Such a product is bound by reading its matrix: 16 bytes a thread and load, each weight once for all rows of the batch,
and every program knows the norm of its inputs without asking another. Which calls come here, and what they must equal,
says `fused_projection.py`.

How an H100 is kept busy: its 3.35 TB/s times about 0.7 µs of latency are 2.3 MB, so 18 KB must be under way in each of
132 multiprocessors.

- Up to 4 tokens: multiplications and additions of ordinary cores, 4 a weight, are a quarter of what they can do in the
  time in which it is read. A program holds whole rows of the matrix in registers, 16 KiB in all and 128 bytes a
  thread. All are asked for before the norm is taken, as is what will be added. Rows are fewer where there would not
  be three programs a multiprocessor: 2048 x 2048 in bfloat16 are 512 programs of 4 rows, 62 KB a multiprocessor under
  way at once, and 131072 x 2048 are 32768 of them, of which registers let four or more run at a time.
- 5 to 16 tokens in 16 bits: ordinary cores would be the bound, and the inputs (64 KB for 16 tokens of 2048) must be
  read for more rows at a time. A program takes 16 rows with tensor cores, whose smallest tile that is. Its warps
  divide the columns, 128 each, and add up once at the end; the next 4 KiB of each are asked for before the present
  ones are used. 2048 rows are 128 programs, one a multiprocessor, and 8 warps then have 32 KiB under way; where there
  are at least two programs for each, they have 4 warps, and two or three find registers beside one another.
- Columns are not divided between programs: that would need a second launch or scratch, and rows are enough.

Nothing is tuned at run time.
"""

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from operators.step_device import silu

MOST_TOKENS: Final = 16
MOST_COLUMNS: Final = 16384
"""Of wider matrices a row would not fit into the registers of a program."""

_FEW_TOKENS: Final = 4
_TILE_BYTES: Final = 16384
_BYTES_A_THREAD: Final = 128
_MOST_ROWS: Final = 8
_MULTIPROCESSORS: Final = 132
_ENOUGH_PROGRAMS: Final = 3 * _MULTIPROCESSORS
_MANY_ROWS: Final = 16
_WARP_COLUMNS: Final = 128


@triton.jit
def _few_tokens(
    x_ptr,
    weight_ptr,
    norm_ptr,
    bias_ptr,
    residual_ptr,
    y_ptr,
    x_stride,
    residual_stride,
    eps,
    O,
    D,
    B: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    NORMED: tl.constexpr,
    BIASED: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ACTIVATION: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    is_row, is_column = row < O, column < D
    at = row.to(tl.int64)[:, None] * D + column[None, :]
    is_inside = is_row[:, None] & is_column[None, :]
    w_OD = tl.load(weight_ptr + at, mask=is_inside, other=0.0, eviction_policy="evict_first")
    up_OD = w_OD
    if ACTIVATION == "swiglu":
        # The second half of the matrix.
        up_ptr = weight_ptr + tl.cast(O, tl.int64) * D
        up_OD = tl.load(up_ptr + at, mask=is_inside, other=0.0, eviction_policy="evict_first")
    if NORMED:
        norm_D = tl.load(norm_ptr + column, mask=is_column, other=0.0).to(tl.float32)
    bias = 0.0
    residual = 0.0
    if BIASED:
        bias = tl.load(bias_ptr + row, mask=is_row, other=0.0).to(tl.float32)
    for b in tl.static_range(B):
        if RESIDUAL:
            residual = tl.load(residual_ptr + b * residual_stride + row, mask=is_row, other=0.0).to(tl.float32)
        x_D = tl.load(x_ptr + b * x_stride + column, mask=is_column, other=0.0).to(tl.float32)
        if NORMED:
            x_D = x_D * tl.rsqrt(tl.sum(x_D * x_D, 0) / D + eps) * norm_D
            x_D = _rounded(x_D, x_ptr)
        product_O = tl.sum(w_OD.to(tl.float32) * x_D[None, :], 1)
        up_O = product_O
        if ACTIVATION == "swiglu":
            up_O = tl.sum(up_OD.to(tl.float32) * x_D[None, :], 1)
        y_O = _finished(product_O, up_O, bias, residual, y_ptr, RESIDUAL, ACTIVATION)
        tl.store(y_ptr + b * O + row, y_O, mask=is_row)


@triton.jit
def _many_tokens(
    x_ptr,
    weight_ptr,
    norm_ptr,
    bias_ptr,
    residual_ptr,
    y_ptr,
    x_stride,
    residual_stride,
    eps,
    O,
    D,
    B,
    ROWS: tl.constexpr,
    TOKENS: tl.constexpr,
    WARPS: tl.constexpr,
    COLUMNS: tl.constexpr,
    NORMED: tl.constexpr,
    BIASED: tl.constexpr,
    RESIDUAL: tl.constexpr,
    ACTIVATION: tl.constexpr,
    INTERPRETED: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    b = tl.arange(0, TOKENS)
    is_row, is_token = row < O, b < B
    # One product for each warp: [warps, rows, columns] times [warps, columns, tokens].
    warp = tl.arange(0, WARPS)[:, None, None] * COLUMNS
    of_w = warp + tl.arange(0, COLUMNS)[None, None, :]
    of_x = warp + tl.arange(0, COLUMNS)[None, :, None]
    at = weight_ptr + row.to(tl.int64)[None, :, None] * D
    up_at = at + tl.cast(O, tl.int64) * D
    is_w, is_x = is_row[None, :, None], is_token[None, None, :]
    w_WOD = tl.load(at + of_w, mask=is_w & (of_w < D), other=0.0, eviction_policy="evict_first")
    up_WOD = w_WOD
    if ACTIVATION == "swiglu":
        up_WOD = tl.load(up_at + of_w, mask=is_w & (of_w < D), other=0.0, eviction_policy="evict_first")
    is_output = is_row[:, None] & is_token[None, :]
    bias = 0.0
    residual = 0.0
    if BIASED:
        bias = tl.load(bias_ptr + row, mask=is_row, other=0.0).to(tl.float32)[:, None]
    if RESIDUAL:
        residual_at = residual_ptr + b[None, :] * residual_stride + row[:, None]
        residual = tl.load(residual_at, mask=is_output, other=0.0).to(tl.float32)
    scale_B = tl.zeros((TOKENS,), dtype=tl.float32)
    if NORMED:
        for start in range(0, D, WARPS * COLUMNS):
            column = start + tl.arange(0, WARPS * COLUMNS)[None, :]
            is_inside = is_token[:, None] & (column < D)
            x_BD = tl.load(x_ptr + b[:, None] * x_stride + column, mask=is_inside, other=0.0).to(tl.float32)
            scale_B += tl.sum(x_BD * x_BD, 1)
        scale_B = tl.rsqrt(scale_B / D + eps)
    product_WOB = tl.zeros((WARPS, ROWS, TOKENS), dtype=tl.float32)
    up_WOB = product_WOB
    for start in range(0, D, WARPS * COLUMNS):
        is_column = start + of_x < D
        x_WDB = tl.load(x_ptr + b[None, None, :] * x_stride + start + of_x, mask=is_x & is_column, other=0.0)
        if NORMED:
            norm = tl.load(norm_ptr + start + of_x, mask=is_column, other=0.0).to(tl.float32)
            x_WDB = (x_WDB.to(tl.float32) * scale_B[None, None, :] * norm).to(x_ptr.dtype.element_ty)
        following = start + WARPS * COLUMNS + of_w
        is_following = is_w & (following < D)
        next_WOD = tl.load(at + following, mask=is_following, other=0.0, eviction_policy="evict_first")
        if INTERPRETED:
            # The interpreter would multiply the bits of bfloat16 numbers as integers.
            w_WOD, x_WDB, up_WOD = w_WOD.to(tl.float32), x_WDB.to(tl.float32), up_WOD.to(tl.float32)
        product_WOB = tl.dot(w_WOD, x_WDB, product_WOB)
        w_WOD = next_WOD
        if ACTIVATION == "swiglu":
            next_WOD = tl.load(up_at + following, mask=is_following, other=0.0, eviction_policy="evict_first")
            up_WOB = tl.dot(up_WOD, x_WDB, up_WOB)
            up_WOD = next_WOD
    y_OB = _finished(tl.sum(product_WOB, 0), tl.sum(up_WOB, 0), bias, residual, y_ptr, RESIDUAL, ACTIVATION)
    tl.store(y_ptr + b[None, :] * O + row[:, None], y_OB, mask=is_output)


@triton.jit
def _finished(product, up, bias, residual, y_ptr, RESIDUAL: tl.constexpr, ACTIVATION: tl.constexpr):
    # Rounded wherever the unfused chain writes a tensor.
    y = _rounded(product + bias, y_ptr)
    if RESIDUAL:
        y += residual
    if ACTIVATION == "swiglu":
        y = _rounded(silu(y), y_ptr) * _rounded(up, y_ptr)
    if ACTIVATION == "relu2":
        y = tl.where(y < 0.0, 0.0, y)
        y = y * y
    if ACTIVATION == "gelu":
        y = 0.5 * y * (1.0 + tl.erf(y * 0.7071067811865476))
    return y


@triton.jit
def _rounded(x, like_ptr):
    return x.to(like_ptr.dtype.element_ty.scalar).to(tl.float32)


def multiply(
    x_BD: Tensor,
    weight: Tensor,
    *,
    num_outputs: int,
    norm_weight_D: Tensor | None,
    eps: float,
    bias_O: Tensor | None = None,
    residual_BO: Tensor | None = None,
    activation: str = "none",
) -> Tensor:
    """Return the outputs, [B, O] in the dtype of x, in one launch.

    Args:
        x_BD: Inputs with contiguous columns, at most `MOST_TOKENS` rows and `MOST_COLUMNS` columns.
        weight: Contiguous [O, D] in the dtype of x; [2 · O, D], gates first, for `swiglu`.
        num_outputs: O.
        norm_weight_D: Weight of the norm before; none means no norm.
        eps: Added to its mean square.
        bias_O: Added to the product.
        residual_BO: Added after that, with contiguous columns.
        activation: `none`, or one of the channel mixer's.
    """
    batch, columns = x_BD.shape
    y_BO = torch.empty(batch, num_outputs, dtype=x_BD.dtype, device=x_BD.device)
    residual = x_BD if residual_BO is None else residual_BO
    arguments = (
        x_BD,
        weight,
        weight if norm_weight_D is None else norm_weight_D,
        weight if bias_O is None else bias_O,
        residual,
        y_BO,
        x_BD.stride(0),
        residual.stride(0),
        eps,
        num_outputs,
        columns,
    )
    flags = {
        "NORMED": norm_weight_D is not None,
        "BIASED": bias_O is not None,
        "RESIDUAL": residual_BO is not None,
        "ACTIVATION": activation,
    }
    if batch > _FEW_TOKENS and x_BD.element_size() == 2:
        programs = triton.cdiv(num_outputs, _MANY_ROWS)
        warps = 8 if programs < 2 * _MULTIPROCESSORS else 4
        _many_tokens[(programs,)](
            *arguments,
            batch,
            ROWS=_MANY_ROWS,
            TOKENS=8 if batch <= 8 else 16,
            WARPS=warps,
            COLUMNS=_WARP_COLUMNS,
            num_warps=warps,
            INTERPRETED=x_BD.device.type == "cpu",
            num_stages=1,
            **flags,
        )
        return y_BO
    padded = triton.next_power_of_2(columns)
    row_bytes = padded * x_BD.element_size() * (2 if activation == "swiglu" else 1)
    rows = rows_a_program(num_outputs, row_bytes=row_bytes)
    _few_tokens[(triton.cdiv(num_outputs, rows),)](
        *arguments,
        B=batch,
        ROWS=rows,
        COLUMNS=padded,
        num_warps=min(16, max(4, rows * row_bytes // (32 * _BYTES_A_THREAD))),
        **flags,
    )
    return y_BO


def rows_a_program(num_outputs: int, *, row_bytes: int) -> int:
    """Return how many outputs one program computes for few tokens: a power of two."""
    rows = _MOST_ROWS
    while rows > 1 and (rows * row_bytes > _TILE_BYTES or triton.cdiv(num_outputs, rows) < _ENOUGH_PROGRAMS):
        rows //= 2
    return rows
