"""Fast softmax attention: torch's fused kernels, and blocks where a window or packed documents need a mask.

No mask here is longer than a block of queries on one side. The mathematics is in `reference.py`.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.bias import CausalBias, causal_lower_right
from torch.utils.checkpoint import checkpoint

from operators.attention.sight import Sight, Span, take

QUERY_BLOCK: Final = 128
"""Queries to a mask on a CPU: smaller blocks cost more calls, larger ones more of what the mask throws away."""

GPU_QUERY_BLOCK: Final = 1024
"""On a GPU calls are dear, and a small one leaves it half idle."""

LARGEST_KEPT_MASK: Final = 2**24
"""Numbers of masks kept for a backward pass; rather than keep more, it makes them, and the softmax, again."""


def attend_fused(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, *, sight: Sight) -> Tensor:
    """Return what `reference.attend` does with the mask of `sight`."""
    dtype = v_BSGV.dtype
    q, k, v = q_BTHK.to(dtype), k_BSGK.to(dtype), v_BSGV
    y = attend_causal(q, k, v) if sight.is_causal else attend_by_query_blocks(q, k, v, sight=sight)
    return y.to(q_BTHK.dtype)


def attend_one(q_B1HK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, *, mask_S: Tensor | None = None) -> Tensor:
    """Return what one query attends to: the heads of a group are its rows, so that no key is read or copied twice."""
    dtype = v_BSGV.dtype
    q_BGRK = torch.unflatten(q_B1HK[:, 0].to(dtype), 1, (k_BSGK.shape[2], -1))
    k_BGSK, v_BGSV = k_BSGK.to(dtype).transpose(1, 2), v_BSGV.transpose(1, 2)
    mask_1S = None if mask_S is None else mask_S[None]
    y_BGRV = F.scaled_dot_product_attention(q_BGRK, k_BGSK, v_BGSV, attn_mask=mask_1S)
    return y_BGRV.flatten(1, 2)[:, None].to(q_B1HK.dtype)


def attend_causal(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor) -> Tensor:
    """Return causal attention of the last T of S tokens."""
    num_queries, num_keys = q_BTHK.shape[1], k_BSGK.shape[1]
    num_past = num_keys - num_queries
    if num_queries == 1:
        return attend_one(q_BTHK, k_BSGK, v_BSGV)
    if num_past <= num_queries // 2:
        # Torch aligns a causal rectangle at its upper left, so the past gets queries as well, which nobody reads.
        q_BSHK = F.pad(q_BTHK, (0, 0, 0, 0, num_past, 0)) if num_past else q_BTHK
        return _unmasked(q_BSHK, k_BSGK, v_BSGV)[:, num_past:]
    if _flash_takes(q_BTHK, k_BSGK, v_BSGV):
        return _unmasked(q_BTHK, k_BSGK, v_BSGV, bias=causal_lower_right(num_queries, num_keys))
    sight = Sight(start=num_past, num_queries=num_queries, num_keys=num_keys)
    return attend_by_query_blocks(q_BTHK, k_BSGK, v_BSGV, sight=sight)


def attend_by_query_blocks(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, *, sight: Sight) -> Tensor:
    """Return attention under any mask, one block of queries after another, each over the keys it may reach."""
    scale, value_dim = q_BTHK.shape[-1] ** -0.5, v_BSGV.shape[-1]
    q_BHTK, k_BGSK, v_BGSV = _of_one_width(*(x.transpose(1, 2) for x in (q_BTHK, k_BSGK, v_BSGV)))
    k_BGSK, v_BGSV = _ungrouped(q_BHTK, k_BGSK, v_BGSV, has_mask=True)

    def block(queries_BHTK: Tensor, keys_BGSK: Tensor, values_BGSV: Tensor, queries: Span) -> Tensor:
        reach = sight.reach(queries)
        keys, values = (
            take(x.transpose(1, 2), reach, num_prefix=sight.num_prefix).transpose(1, 2)
            for x in (keys_BGSK, values_BGSV)
        )
        mask = sight.mask(queries, device=queries_BHTK.device)
        return F.scaled_dot_product_attention(
            queries_BHTK,
            keys,
            values,
            attn_mask=mask[:, None] if mask.ndim == 3 else mask,
            scale=scale,
            enable_gqa=queries_BHTK.shape[1] != keys.shape[1],
        )

    size = GPU_QUERY_BLOCK if q_BHTK.is_cuda else QUERY_BLOCK
    if sight.num_queries <= 2 * size:
        # One call less is worth more than what its mask throws away.
        return block(q_BHTK, k_BGSK, v_BGSV, Span(0, sight.num_queries))[..., :value_dim].transpose(1, 2)
    again = torch.is_grad_enabled() and _mask_size(sight, block=size) > LARGEST_KEPT_MASK
    blocks = []
    for first in range(0, sight.num_queries, size):
        queries = Span(first, min(first + size, sight.num_queries))
        arguments = (q_BHTK[:, :, queries.start : queries.stop], k_BGSK, v_BGSV, queries)
        blocks.append(
            checkpoint(block, *arguments, use_reentrant=False, preserve_rng_state=False) if again else block(*arguments)
        )
    return torch.cat(blocks, dim=2)[..., :value_dim].transpose(1, 2)


def _unmasked(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, *, bias: CausalBias | None = None) -> Tensor:
    """Return causal attention without a mask in memory, aligned at the upper left unless `bias` says otherwise."""
    q_BHTK, k_BGSK, v_BGSV = _of_one_width(*(x.transpose(1, 2) for x in (q_BTHK, k_BSGK, v_BSGV)))
    k_BGSK, v_BGSV = _ungrouped(q_BHTK, k_BGSK, v_BGSV, has_mask=False)
    y_BHTV = F.scaled_dot_product_attention(
        q_BHTK,
        k_BGSK,
        v_BGSV,
        attn_mask=bias,
        is_causal=bias is None,
        scale=q_BTHK.shape[-1] ** -0.5,
        enable_gqa=q_BHTK.shape[1] != k_BGSK.shape[1],
    )
    return y_BHTV[..., : v_BSGV.shape[-1]].transpose(1, 2)


def _ungrouped(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSV: Tensor, *, has_mask: bool) -> tuple[Tensor, Tensor]:
    """Return keys and values with a head for every query head where a GPU's kernels want that, else as they are."""
    repeats = q_BHTK.shape[1] // k_BGSK.shape[1]
    # There only FlashAttention takes grouped heads, and it takes no mask and no float32; torch would write out scores.
    takes_groups = not q_BHTK.is_cuda or (not has_mask and q_BHTK.dtype in (torch.bfloat16, torch.float16))
    if repeats == 1 or takes_groups:
        return k_BGSK, v_BGSV
    return k_BGSK.repeat_interleave(repeats, dim=1), v_BGSV.repeat_interleave(repeats, dim=1)


def _of_one_width(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three with zeros behind the narrower heads: fused kernels want one width, others write out scores."""
    width = max(k.shape[-1], v.shape[-1])
    padded = (x if x.shape[-1] == width else F.pad(x, (0, width - x.shape[-1])) for x in (q, k, v))
    q, k, v = padded
    return q, k, v


def _flash_takes(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor) -> bool:
    """Return whether FlashAttention, whose causal mask ends at the last key, runs on a GPU here."""
    if not q_BTHK.is_cuda:
        return False
    q, k, v = _of_one_width(*(x.transpose(1, 2) for x in (q_BTHK, k_BSGK, v_BSGV)))
    call = torch.backends.cuda.SDPAParams(q, k, v, None, 0.0, False, q.shape[1] != k.shape[1])
    return torch.backends.cuda.can_use_flash_attention(call)


def _mask_size(sight: Sight, *, block: int) -> int:
    rows = 1 if sight.documents is None else sight.documents.segment.shape[0]
    longest = sight.num_keys if sight.window is None else sight.num_prefix + sight.window + block
    return rows * sight.num_queries * min(longest, sight.num_keys)
