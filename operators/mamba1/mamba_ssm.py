"""The selective scan in mamba-ssm's kernel, which knows neither a state to start from nor packed documents.

Both are told to it as tokens: one whose step is so long that nothing before it is left, one for every column of the
state to write, and at the end one for every column to read, with a step of zero. All of it is exact up to rounding and
has gradients, also through the states. torch.compile breaks the graph at the kernel.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from operators.context import Documents

FOREVER: Final = 2.0**40
"""Step after which no state is left, whatever its decay."""

MOMENT: Final = 2.0**-20
"""Step in which a state is written; what it loses while the other columns are written is added beforehand."""


class Streams(NamedTuple):
    """Inputs [B, S, …] of the recurrence."""

    x: Tensor
    dt: Tensor
    B: Tensor
    C: Tensor


def fused(
    x_BTI: Tensor,
    dt_BTI: Tensor,
    A_IN: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    *,
    state_BIN: Tensor | None,
    documents: Documents | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `reference.recurrent` does, in float32.

    A state of none means zeros; every packed document starts from it.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    tokens = Streams(x_BTI, dt_BTI, B_BTN, C_BTN)
    batch, _, inner = x_BTI.shape
    opening = _opening(state_BIN, A_IN, like=tokens, forgets=documents is not None)
    num_opening, num_columns = opening.x.shape[1], A_IN.shape[1]
    streams = (opening, tokens, _reading(tokens))
    if documents is None:
        x, dt, B, C = (torch.cat(parts, dim=1) for parts in zip(*streams, strict=True))
        position_BT = num_opening + torch.arange(x_BTI.shape[1], device=x.device).expand(batch, -1)
    else:
        position_BT = torch.arange(x_BTI.shape[1], device=x_BTI.device) + num_opening * (documents.segment + 1)
        index_BS = _order(position_BT, documents, num_opening=num_opening, num_columns=num_columns)
        nothing = (part[:, :1].new_zeros(batch, 1, part.shape[2]) for part in tokens)
        pools = (torch.cat(parts, dim=1) for parts in zip(nothing, *streams, strict=True))
        x, dt, B, C = (pool.gather(1, index_BS[..., None].expand(-1, -1, pool.shape[2])) for pool in pools)
    y_BIS = selective_scan_fn(x.mT, dt.mT, A_IN, B.mT, C.mT)
    y_BTI = y_BIS.mT.gather(1, position_BT[..., None].expand(-1, -1, inner))
    return y_BTI, y_BIS[:, :, -num_columns:]


def _opening(state_BIN: Tensor | None, A_IN: Tensor, *, like: Streams, forgets: bool) -> Streams:
    """Return the tokens that forget what came before and write the state, one of its columns each."""
    (batch, _, inner), columns = like.x.shape, A_IN.shape[1]
    parts = Streams(*(part.new_zeros(batch, 0, part.shape[2]) for part in like))
    if forgets:
        zeros = Streams(*(part.new_zeros(batch, 1, part.shape[2]) for part in like))
        parts = zeros._replace(dt=torch.full_like(zeros.dt, FOREVER))
    if state_BIN is None:
        return parts
    left_N = MOMENT * torch.arange(columns - 1, -1, -1, device=A_IN.device)
    eye_BNN = torch.eye(columns, device=A_IN.device, dtype=A_IN.dtype).expand(batch, -1, -1)
    writing = Streams(
        (state_BIN * torch.exp(-A_IN * left_N) / MOMENT).mT,
        torch.full((batch, columns, inner), MOMENT, device=A_IN.device, dtype=A_IN.dtype),
        eye_BNN,
        torch.zeros_like(eye_BNN),
    )
    return Streams(*(torch.cat(pair, dim=1) for pair in zip(parts, writing, strict=True)))


def _reading(like: Streams) -> Streams:
    """Return the tokens whose outputs are the columns of the last state."""
    (batch, _, inner), columns = like.x.shape, like.B.shape[2]
    nothing_BNI = like.x.new_zeros(batch, columns, inner)
    eye_BNN = torch.eye(columns, device=nothing_BNI.device, dtype=nothing_BNI.dtype).expand(batch, -1, -1)
    return Streams(nothing_BNI, nothing_BNI, torch.zeros_like(eye_BNN), eye_BNN)


def _order(position_BT: Tensor, documents: Documents, *, num_opening: int, num_columns: int) -> Tensor:
    """Return which of nothing, opening, tokens and reading stands at every place.

    Rows with fewer documents than another have nothing behind their last token. Counting them waits for the device.
    """
    batch, tokens = position_BT.shape
    device = position_BT.device
    length = tokens + num_opening * (int(documents.segment[:, -1].max()) + 1)
    index_BS = torch.zeros(batch, length + 1, dtype=torch.int64, device=device)
    index_BS.scatter_(1, position_BT, 1 + num_opening + torch.arange(tokens, device=device).expand(batch, -1))
    for nth in range(num_opening):
        # Tokens that begin no document send theirs to a place that is cut off.
        place_BT = torch.where(documents.offset == 0, position_BT - num_opening + nth, length)
        index_BS.scatter_(1, place_BT, 1 + nth)
    reading_BN = (1 + num_opening + tokens + torch.arange(num_columns, device=device)).expand(batch, -1)
    return torch.cat((index_BS[:, :length], reading_BN), dim=1)
