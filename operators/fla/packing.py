"""Packed documents the way fla's kernels read them: one row of all tokens, and where each document starts.

Not the kernels: the operators' `fla.py` files call those.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from operators.context import Documents


def one_row(x_BT: Tensor) -> Tensor:
    """Return [1, B · T, …]."""
    return x_BT.flatten(0, 1)[None]


def rows(x_1S: Tensor, documents: Documents) -> Tensor:
    """Return [B, T, …] again."""
    return torch.unflatten(x_1S[0], 0, documents.offset.shape)


def of_every_document(state_B: Tensor | None, documents: Documents) -> Tensor | None:
    """Return the state of its row for every document, [N, …]; zeros need none."""
    if state_B is None:
        return None
    return state_B.index_select(0, documents.cu_seqlens[:-1] // documents.offset.shape[1])


def of_last_documents(state_N: Tensor, documents: Documents) -> Tensor:
    """Return the state after the last document of every row, [B, …]."""
    return state_N.index_select(0, (documents.segment[:, -1] + 1).cumsum(0) - 1)


def even_widths(widths: Sequence[int], *, largest: int | None = None) -> dict[str, str]:
    """Return backends excluded by head widths: fla's backward kernels need even ones, its delta rules at most 256."""
    wrong = [width for width in widths if width % 2 or (largest is not None and width > largest)]
    if not wrong:
        return {}
    bound = "" if largest is None else f" of at most {largest}"
    return {"fla": f"its kernels need even head widths{bound}; got {wrong[0]}"}
