"""Softmax attention as mathematics: the weighted mean of what is seen.

A pure function; faster ones with the same meaning are in `backends.py`. Who sees whom is `sight.py`.
"""

import torch
from torch import Tensor

from operators.precision import wide_dtype, without_autocast


def attend(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, *, mask: Tensor) -> Tensor:
    """Return softmax(q·k / √K) v with H / G query heads to a key head; `mask` broadcasts to [B, T, S]."""
    num_heads, num_kv_heads = q_BTHK.shape[2], k_BSGK.shape[2]
    dtype = wide_dtype(q_BTHK)
    q_BGRTK = torch.unflatten(q_BTHK.to(dtype), 2, (num_kv_heads, num_heads // num_kv_heads)).permute(0, 2, 3, 1, 4)
    k_BG1SK, v_BG1SV = (x.to(dtype).transpose(1, 2)[:, :, None] for x in (k_BSGK, v_BSGV))
    mask_BTS = mask if mask.ndim == 3 else mask[None]
    with without_autocast(q_BTHK):
        scores_BGRTS = q_BGRTK @ k_BG1SK.mT * q_BTHK.shape[-1] ** -0.5
        weights_BGRTS = scores_BGRTS.masked_fill(~mask_BTS[:, None, None], float("-inf")).softmax(-1)
        mixed_BGRTV: Tensor = weights_BGRTS @ v_BG1SV
    return mixed_BGRTV.permute(0, 3, 1, 2, 4).flatten(2, 3).to(q_BTHK.dtype)


def gated(y: Tensor, gate: Tensor) -> Tensor:
    """Return the heads' outputs times sigmoid(gate), a gate to every channel."""
    return y * gate.sigmoid()
