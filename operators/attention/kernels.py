"""One token of attention between its projections, in one kernel.

Norms and rotation of query and key, the new key and value into the cache, softmax over what is visible, and the
position moved on. The mathematics is that of `heads.py` and `reference.py`. Programs divide the visible tokens of a
key-value head into as many runs as keep a GPU busy, and the last to arrive adds up what the others found
(flash-decoding, with the runs cut where the filled cache says and not its capacity). One program serves all query heads
of its key-value head, so that no key is read twice.
"""

import math
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from operators.step_device import is_last
from operators.step_scratch import StepScratch

PROGRAMS_A_PROCESSOR: Final = 2
"""Two of them hold enough loads in flight to saturate the memory of a multiprocessor."""

INTERPRETED_PROCESSORS: Final = 4
"""What stands in for a GPU's multiprocessors on a CPU."""

LEAST_TOKENS: Final = 32
"""Tokens a program reads at least where there are so many: adding up shorter runs costs more than it saves."""

TILE: Final = 16384
"""Numbers of keys and values a program reads at once; 32 KiB in bfloat16."""

PRODUCTS: Final = 8192
"""Products of a sum that is not a matrix product, all held in registers."""

MAX_TOKENS: Final = 2**31 - 1
"""Tokens a ring can count."""

DOT_TYPES: Final = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}

LOG2_E: Final = math.log2(math.e)

DOT_ROWS: Final = 16
"""Rows of the smallest matrix product; fewer query heads are padded, which costs nothing where memory is the limit."""


@triton.jit
def _prepared(
    x_ptr,
    norm_ptr,
    frequency_ptr,
    head_R,
    is_head_R,
    position,
    norm_eps,
    K,
    KEYS: tl.constexpr,
    HALF: tl.constexpr,
    NORMED: tl.constexpr,
):
    """Return these heads, normalised and rotated, [R, KEYS] in float32."""
    k = tl.arange(0, KEYS)
    row_R1 = x_ptr + head_R[:, None] * K
    is_key_K = k < K
    x_RK = tl.load(row_R1 + k[None, :], mask=is_head_R[:, None] & is_key_K[None, :], other=0.0).to(tl.float32)
    if NORMED:
        scale_R = tl.rsqrt(tl.sum(x_RK * x_RK, 1) / K + norm_eps)
        weight_K = tl.load(norm_ptr + k, mask=is_key_K, other=0.0).to(tl.float32)
        x_RK = x_RK * scale_R[:, None] * weight_K[None, :]
    if HALF > 0:
        is_turned_K = k < 2 * HALF
        partner_K = tl.where(k < HALF, k + HALF, k - HALF)
        other_RK = tl.load(row_R1 + partner_K[None, :], mask=is_head_R[:, None] & is_turned_K[None, :], other=0.0).to(
            tl.float32
        )
        if NORMED:
            other_weight_K = tl.load(norm_ptr + partner_K, mask=is_turned_K, other=0.0).to(tl.float32)
            other_RK = other_RK * scale_R[:, None] * other_weight_K[None, :]
        # Channels that do not turn have the angle zero.
        angle_K = position.to(tl.float32) * tl.load(frequency_ptr + k % HALF, mask=is_turned_K, other=0.0)
        sine_K = tl.where(k < HALF, -tl.sin(angle_K), tl.sin(angle_K))
        x_RK = x_RK * tl.cos(angle_K)[None, :] + other_RK * sine_K[None, :]
    return x_RK


@triton.jit
def _slot(position, M, ring, capacity, WRAPS: tl.constexpr):
    """Return where the cache keeps these positions (`state.py`)."""
    if WRAPS:
        position = tl.where(position < M, position, M + (position - M) % ring)
    else:
        position = tl.minimum(position, capacity - 1)
    return position.to(tl.int64)


@triton.jit
def _attention_step(
    qkv_ptr,
    q_norm_ptr,
    k_norm_ptr,
    frequency_ptr,
    keys_ptr,
    values_ptr,
    position_ptr,
    unfinished_ptr,
    counters_ptr,
    y_ptr,
    qkv_stride,
    scale,
    norm_eps,
    least_tokens,
    G,
    R,
    S,
    K,
    V,
    M,
    window,
    ring,
    capacity,
    ROWS: tl.constexpr,
    HEADS: tl.constexpr,
    KEYS: tl.constexpr,
    VALUES: tl.constexpr,
    BLOCK: tl.constexpr,
    SPLITS: tl.constexpr,
    CHUNK: tl.constexpr,
    HALF: tl.constexpr,
    NORMED: tl.constexpr,
    OWN: tl.constexpr,
    GATED: tl.constexpr,
    WINDOWED: tl.constexpr,
    WRAPS: tl.constexpr,
    DOTS: tl.constexpr,
    DTYPE: tl.constexpr,
    STAGES: tl.constexpr,
):
    split, g, b = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    num_splits, batch = tl.num_programs(0), tl.num_programs(2)
    position = tl.load(position_ptr)
    last = position.to(tl.int32)
    if not OWN:
        # The operator whose cache this is has stored the token already.
        last = last - 1
    # Visible are the meta tokens and an unbroken run of tokens, counted through as one row that ends with this token.
    num_prefix = tl.minimum(M, last + 1)
    first = num_prefix
    if WINDOWED:
        first = tl.maximum(num_prefix, last - window + 1)
    num_stored = num_prefix + last + 1 - first
    if OWN:
        num_stored = num_stored - 1
    # Beyond the end of the cache nothing is written, and the output says so by being no number.
    num_stored = tl.minimum(num_stored, capacity)
    run = tl.maximum(least_tokens, tl.cdiv(num_stored, num_splits))
    num_active = tl.maximum(1, tl.cdiv(num_stored, run))

    v = tl.arange(0, VALUES)
    is_value_V = v < V
    found_ptr = unfinished_ptr + b * G * num_splits * R * (V + 2)
    mixed_ptr = found_ptr + g * num_splits * R * V
    top_ptr = found_ptr + G * num_splits * R * V + g * num_splits * R
    total_ptr = top_ptr + G * num_splits * R
    if split < num_active:
        k = tl.arange(0, KEYS)
        r = tl.arange(0, ROWS)
        is_key_K, is_head_R = k < K, r < R
        x_ptr = qkv_ptr + b * qkv_stride
        q_RK = _prepared(x_ptr, q_norm_ptr, frequency_ptr, g * R + r, is_head_R, last, norm_eps, K, KEYS, HALF, NORMED)
        if DOTS:
            q_RK = q_RK.to(DTYPE)
        top_R = tl.full((ROWS,), float("-inf"), tl.float32)
        total_R = tl.zeros((ROWS,), tl.float32)
        mixed_RV = tl.zeros((ROWS, VALUES), tl.float32)
        if OWN:
            # Nobody else reads the slot of this token, so nobody must wait for it to be written.
            row = (b * S + _slot(last, M, ring, capacity, WRAPS)) * G + g
            if split == 0:
                one = tl.arange(0, 1)
                is_room = (last + one < capacity)[:, None]
                k_1K = _prepared(
                    x_ptr, k_norm_ptr, frequency_ptr, G * R + g + one, one == 0, last, norm_eps, K, KEYS, HALF, NORMED
                ).to(keys_ptr.dtype.element_ty)
                v_1V = tl.load(
                    x_ptr + (G * R + G) * K + g * V + one[:, None] + v[None, :], mask=is_value_V[None, :], other=0.0
                ).to(values_ptr.dtype.element_ty)
                tl.store(keys_ptr + row * K + one[:, None] + k[None, :], k_1K, mask=is_room & is_key_K[None, :])
                tl.store(values_ptr + row * V + one[:, None] + v[None, :], v_1V, mask=is_room & is_value_V[None, :])
                top_R = tl.sum(q_RK.to(tl.float32) * k_1K.to(tl.float32), 1) * scale
                total_R = total_R + 1.0
                mixed_RV = mixed_RV + v_1V.to(tl.float32)
        end = tl.minimum(num_stored, (split + 1) * run)
        for start in tl.range(split * run, end, BLOCK, num_stages=STAGES):
            token_S = start + tl.arange(0, BLOCK)
            is_token_S = token_S < end
            if WINDOWED:
                token_S = tl.where(token_S < num_prefix, token_S, token_S - num_prefix + first)
            row_S = (b * S + _slot(token_S, M, ring, capacity, WRAPS)) * G + g
            k_SK = tl.load(
                keys_ptr + row_S[:, None] * K + k[None, :], mask=is_token_S[:, None] & is_key_K[None, :], other=0.0
            )
            v_SV = tl.load(
                values_ptr + row_S[:, None] * V + v[None, :], mask=is_token_S[:, None] & is_value_V[None, :], other=0.0
            )
            if DOTS:
                scores_RS = tl.dot(q_RK, tl.trans(k_SK.to(DTYPE))) * scale
            else:
                scores_RS = tl.sum(q_RK[:, None, :] * k_SK.to(tl.float32)[None, :, :], 2) * scale
            scores_RS = tl.where(is_token_S[None, :], scores_RS, float("-inf"))
            higher_R = tl.maximum(top_R, tl.max(scores_RS, 1))
            shrink_R = tl.exp2(top_R - higher_R)
            weights_RS = tl.exp2(scores_RS - higher_R[:, None])
            total_R = total_R * shrink_R + tl.sum(weights_RS, 1)
            mixed_RV = mixed_RV * shrink_R[:, None]
            if DOTS:
                mixed_RV = tl.dot(weights_RS.to(DTYPE), v_SV.to(DTYPE), mixed_RV)
            else:
                mixed_RV += tl.sum(weights_RS[:, :, None] * v_SV.to(tl.float32)[None, :, :], 1)
            top_R = higher_R
        own_R = split * R + r
        tl.store(top_ptr + own_R, top_R, mask=is_head_R)
        tl.store(total_ptr + own_R, total_R, mask=is_head_R)
        tl.store(mixed_ptr + own_R[:, None] * V + v[None, :], mixed_RV, mask=is_head_R[:, None] & is_value_V[None, :])

    # Programs beyond the filled cache count too: the position moves on when all have read it.
    if is_last(counters_ptr + b * (G + 1) + g, num_splits):
        h = tl.arange(0, HEADS)
        is_head_H = h < R
        s = tl.arange(0, SPLITS)
        found_HS = s[None, :] * R + h[:, None]
        is_found_HS = is_head_H[:, None] & (s < num_active)[None, :]
        top_HS = tl.load(top_ptr + found_HS, mask=is_found_HS, other=float("-inf"), cache_modifier=".cg")
        total_HS = tl.load(total_ptr + found_HS, mask=is_found_HS, other=0.0, cache_modifier=".cg")
        top_H = tl.where(is_head_H, tl.max(top_HS, 1), 0.0)
        total_H = tl.sum(total_HS * tl.exp2(top_HS - top_H[:, None]), 1)
        total_H = tl.where(total_H > 0, total_H, 1.0)
        y_HV = tl.zeros((HEADS, VALUES), tl.float32)
        for start in range(0, num_active, CHUNK):
            c = start + tl.arange(0, CHUNK)
            found_HC = c[None, :] * R + h[:, None]
            is_found_HC = is_head_H[:, None] & (c < num_active)[None, :]
            top_HC = tl.load(top_ptr + found_HC, mask=is_found_HC, other=float("-inf"), cache_modifier=".cg")
            mixed_HCV = tl.load(
                mixed_ptr + found_HC[:, :, None] * V + v[None, None, :],
                mask=is_found_HC[:, :, None] & is_value_V[None, None, :],
                other=0.0,
                cache_modifier=".cg",
            )
            y_HV += tl.sum(tl.exp2(top_HC - top_H[:, None])[:, :, None] * mixed_HCV, 1)
        y_HV = tl.where(last < capacity, y_HV / total_H[:, None], float("nan"))
        if GATED:
            # Gates are behind all else that is projected.
            gate_ptr = qkv_ptr + b * qkv_stride + G * R * K
            if OWN:
                gate_ptr += G * (K + V)
            gate_HV = tl.load(
                gate_ptr + (g * R + h)[:, None] * V + v[None, :],
                mask=is_head_H[:, None] & is_value_V[None, :],
                other=0.0,
            )
            y_HV = y_HV * tl.sigmoid(gate_HV.to(tl.float32))
        out_HV = ((b * G + g) * R + h)[:, None] * V + v[None, :]
        tl.store(y_ptr + out_HV, y_HV, mask=is_head_H[:, None] & is_value_V[None, :])
        if OWN:
            num_rows = G * batch
            if is_last(counters_ptr + G, num_rows):
                tl.store(position_ptr, position + 1)


def new_scratch(keys_BSGK: Tensor, values_BSGV: Tensor, *, num_heads: int) -> StepScratch:
    """Return the memory `attention_step` needs for this cache and these query heads."""
    batch, slots, num_kv_heads, width = values_BSGV.shape
    processors = (
        torch.cuda.get_device_properties(keys_BSGK.device).multi_processor_count
        if keys_BSGK.is_cuda
        else INTERPRETED_PROCESSORS
    )
    splits = min(
        triton.cdiv(PROGRAMS_A_PROCESSOR * processors, batch * num_kv_heads),
        triton.cdiv(slots, LEAST_TOKENS),
    )
    return StepScratch.new(
        batch_size=batch,
        inner_size=splits * num_heads * (width + 2),
        num_counters=num_kv_heads + 1,
        device=keys_BSGK.device,
    )


def attention_step(
    qkv_BC: Tensor,
    *,
    keys_BSGK: Tensor,
    values_BSGV: Tensor,
    position: Tensor,
    num_heads: int,
    num_meta_tokens: int,
    window: int | None,
    wraps: bool,
    has_own_kv: bool,
    is_gated: bool = False,
    scratch: StepScratch,
    norm: tuple[Tensor, Tensor] | None = None,
    norm_eps: float = 0.0,
    frequency_F: Tensor | None = None,
) -> Tensor:
    """Return the heads' outputs side by side, [B, H·V] in the inputs' dtype; cache and position move on in place.

    Args:
        qkv_BC: Projected queries, then keys and values if they are the operator's own, then gates if there are any; a
            view with contiguous channels.
        keys_BSGK: Cached keys, contiguous, in slots as `KeyValueState` says.
        values_BSGV: Cached values, likewise.
        position: Tokens stored, int64 on the device; with own keys the token is stored there and the position moves on.
        num_heads: Query heads, a multiple of G.
        num_meta_tokens: Tokens at the front that are always visible.
        window: Tokens visible behind them, this one included; none means all. The cache must hold as many.
        wraps: Whether the cache is a ring.
        has_own_kv: Whether the token's key and value are in `qkv_BC`; else another operator has stored them.
        is_gated: Whether the outputs are multiplied by sigmoid(gate); the gates are in `qkv_BC`.
        scratch: From `new_scratch`, of this cache and these heads.
        norm: Weights [K] of the norms of query and key; none means no norms. The second is unused without own keys.
        norm_eps: Added to their mean squares.
        frequency_F: Angular frequencies of the channel pairs that turn, float32; none means no rotation.
    """
    batch, slots, groups, width = keys_BSGK.shape
    values = values_BSGV.shape[3]
    heads = num_heads // groups
    splits = scratch.unfinished.shape[1] // (num_heads * (values + 2))
    keys_padded, values_padded = triton.next_power_of_2(width), triton.next_power_of_2(values)
    heads_padded = triton.next_power_of_2(heads)
    uses_dots = heads > 1 and keys_BSGK.dtype in DOT_TYPES
    rows, block = heads_padded, TILE // (keys_padded + values_padded)
    if uses_dots:
        rows, keys_padded, values_padded = (max(DOT_ROWS, size) for size in (rows, keys_padded, values_padded))
        block = min(max(block, DOT_ROWS), 128)
    else:
        block = min(block, PRODUCTS // (rows * max(keys_padded, values_padded)), 128)
    y_BI = torch.empty(batch, num_heads * values, dtype=qkv_BC.dtype, device=qkv_BC.device)
    q_norm, k_norm = (qkv_BC, qkv_BC) if norm is None else norm
    _attention_step[(splits, groups, batch)](
        qkv_BC,
        q_norm,
        k_norm,
        qkv_BC if frequency_F is None else frequency_F,
        keys_BSGK,
        values_BSGV,
        position,
        scratch.unfinished,
        scratch.counters,
        y_BI,
        qkv_BC.stride(0),
        width**-0.5 * LOG2_E,
        norm_eps,
        LEAST_TOKENS,
        groups,
        heads,
        slots,
        width,
        values,
        num_meta_tokens,
        0 if window is None else window,
        max(1, slots - num_meta_tokens),
        MAX_TOKENS if wraps else slots,
        ROWS=rows,
        HEADS=heads_padded,
        KEYS=keys_padded,
        VALUES=values_padded,
        BLOCK=_power_of_2_within(block),
        SPLITS=triton.next_power_of_2(splits),
        CHUNK=min(triton.next_power_of_2(splits), _power_of_2_within(TILE // (heads_padded * values_padded))),
        HALF=0 if frequency_F is None else frequency_F.shape[0],
        NORMED=norm is not None,
        OWN=has_own_kv,
        GATED=is_gated,
        WINDOWED=window is not None,
        WRAPS=wraps,
        DOTS=uses_dots,
        # The interpreter multiplies only what numpy knows.
        DTYPE=DOT_TYPES[keys_BSGK.dtype] if uses_dots and keys_BSGK.is_cuda else tl.float32,
        STAGES=3,
        num_warps=4,
    )
    return y_BI


def _power_of_2_within(bound: int) -> int:
    return 1 << (max(1, bound).bit_length() - 1)
