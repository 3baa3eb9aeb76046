"""Fast implementations of softmax attention: torch's fused kernel, and blocks for a window shorter than the sequence.

The mathematics is in `reference.py`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def attend_fused(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, *, mask: Tensor | None) -> Tensor:
    """Return what `reference.attend` does; no mask means causal over equal positions."""
    dtype = v_BSGV.dtype
    if q_BTHK.shape[1] == 1 and mask is not None:
        return _attend_one(q_BTHK.to(dtype), k_BSGK.to(dtype), v_BSGV, mask=mask).to(q_BTHK.dtype)
    q_BHTK, k_BGSK, v_BGSV = (x.to(dtype).transpose(1, 2) for x in (q_BTHK, k_BSGK, v_BSGV))
    if mask is not None:
        mask = mask[:, None] if mask.ndim == 3 else mask
    y_BHTV = F.scaled_dot_product_attention(
        q_BHTK,
        k_BGSK,
        v_BGSV,
        attn_mask=mask,
        is_causal=mask is None and q_BHTK.shape[2] > 1,
        enable_gqa=q_BHTK.shape[1] != k_BGSK.shape[1],
    )
    return y_BHTV.transpose(1, 2).to(q_BTHK.dtype)


def _attend_one(q_B1HK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, *, mask: Tensor) -> Tensor:
    """Attend with one query: the heads of a group are its rows, so that no key is read or copied twice."""
    q_BGRK = torch.unflatten(q_B1HK[:, 0], 1, (k_BSGK.shape[2], -1))
    mask = mask[:, None] if mask.ndim == 3 else mask
    y_BGRV = F.scaled_dot_product_attention(q_BGRK, k_BSGK.transpose(1, 2), v_BSGV.transpose(1, 2), attn_mask=mask)
    return y_BGRV.flatten(1, 2)[:, None]


def attend_in_blocks(q_BTHK: Tensor, k_BTGK: Tensor, v_BTGV: Tensor, *, window: int, num_meta_tokens: int) -> Tensor:
    """Return windowed causal attention in time proportional to the sequence.

    Queries in blocks of `window` see their own block, the one before, and the meta tokens.
    """
    batch, tokens = q_BTHK.shape[:2]
    num_blocks = -(-tokens // window)
    padding = (0, 0, 0, 0, 0, num_blocks * window - tokens)
    q, k, v = (torch.unflatten(F.pad(x, padding), 1, (num_blocks, window)) for x in (q_BTHK, k_BTGK, v_BTGV))
    keys, values = (_with_previous(x, x_BTGK[:, :num_meta_tokens]) for x, x_BTGK in ((k, k_BTGK), (v, v_BTGV)))
    mask = _block_mask(num_blocks, window=window, num_meta_tokens=num_meta_tokens, device=q.device)
    y = attend_fused(q.flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), mask=mask.repeat(batch, 1, 1))
    return torch.unflatten(y, 0, (batch, num_blocks)).flatten(1, 2)[:, :tokens]


def _with_previous(x_BNWGK: Tensor, meta_BMGK: Tensor) -> Tensor:
    """Return meta tokens, previous block and own block side by side, [B, blocks, M + 2·W, G, K]."""
    previous = F.pad(x_BNWGK[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
    meta = meta_BMGK[:, None].expand(-1, x_BNWGK.shape[1], -1, -1, -1)
    return torch.cat((meta, previous, x_BNWGK), dim=2)


def _block_mask(num_blocks: int, *, window: int, num_meta_tokens: int, device: torch.device) -> Tensor:
    # A padded query sees itself, so no row is empty; a padded key lies behind every real query.
    block = torch.arange(num_blocks, device=device)[:, None, None] * window
    query = block + torch.arange(window, device=device)[:, None]
    local = block - window + torch.arange(2 * window, device=device)
    meta = torch.arange(num_meta_tokens, device=device)
    sees_local = (local >= 0) & (local <= query) & (query - local < window)
    sees_meta = (query - meta >= window).expand(num_blocks, window, num_meta_tokens)
    return torch.cat((sees_meta, sees_local), dim=2)
