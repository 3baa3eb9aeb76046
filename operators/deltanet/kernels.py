"""One token of DeltaNet or gated DeltaNet between its projections, in one kernel.

Convolutions, activation, L2 norms, decay, the delta rule on the memory in place, head norm and gate. The mathematics is
`memory.py`'s; programs divide the value channels of a head, whose columns of the memory do not know each other.
"""

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from operators.step_device import convolve, is_last, remember, silu, softplus
from operators.step_scratch import StepScratch

VALUES_A_PROGRAM: Final = 16
"""With 16 heads of 128 values these are 128 programs of an 8 KiB tile each: about one a multiprocessor at batch 1."""

UNIT_EPS: Final = 1e-6


@triton.jit
def _delta_step(
    qkv_ptr,
    beta_ptr,
    dt_ptr,
    gate_ptr,
    conv_ptr,
    history_ptr,
    carried_ptr,
    A_log_ptr,
    dt_bias_ptr,
    norm_ptr,
    unfinished_ptr,
    counters_ptr,
    y_ptr,
    qkv_stride,
    beta_stride,
    dt_stride,
    gate_stride,
    scale,
    unit_eps,
    norm_eps,
    H,
    G,
    K,
    V,
    J: tl.constexpr,
    KEYS: tl.constexpr,
    BLOCK: tl.constexpr,
    VALUES: tl.constexpr,
    TWICE_BETA: tl.constexpr,
    DECAYS: tl.constexpr,
    GATED: tl.constexpr,
):
    block, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    num_blocks = tl.num_programs(0)
    g = h // (H // G)
    channels = 2 * G * K + H * V
    x_ptr = qkv_ptr + b * qkv_stride
    row_ptr = history_ptr + b * J * channels

    k = tl.arange(0, KEYS)
    v = block * BLOCK + tl.arange(0, BLOCK)
    is_key, is_value = k < K, v < V
    q_channel, k_channel, v_channel = g * K + k, (G + g) * K + k, 2 * G * K + h * V + v
    q_K = convolve(x_ptr, row_ptr, conv_ptr, conv_ptr, q_channel, is_key, channels, J, False)
    k_K = convolve(x_ptr, row_ptr, conv_ptr, conv_ptr, k_channel, is_key, channels, J, False)
    v_V = convolve(x_ptr, row_ptr, conv_ptr, conv_ptr, v_channel, is_value, channels, J, False)
    q_K = q_K * (scale * tl.rsqrt(tl.sum(q_K * q_K, 0) + unit_eps))
    k_K = k_K * tl.rsqrt(tl.sum(k_K * k_K, 0) + unit_eps)
    beta = tl.sigmoid(tl.load(beta_ptr + b * beta_stride + h).to(tl.float32))
    if TWICE_BETA:
        beta = 2.0 * beta

    tile = carried_ptr + ((b * H + h) * K + k[:, None]) * V + v[None, :]
    is_tile = is_key[:, None] & is_value[None, :]
    S_KV = tl.load(tile, mask=is_tile, other=0.0)
    if DECAYS:
        dt = tl.load(dt_ptr + b * dt_stride + h).to(tl.float32) + tl.load(dt_bias_ptr + h).to(tl.float32)
        S_KV = S_KV * tl.exp(-tl.exp(tl.load(A_log_ptr + h).to(tl.float32)) * softplus(dt))
    error_V = beta * (v_V - tl.sum(k_K[:, None] * S_KV, 0))
    S_KV = S_KV + k_K[:, None] * error_V[None, :]
    tl.store(tile, S_KV, mask=is_tile)
    head_ptr = unfinished_ptr + (b * H + h) * V
    tl.store(head_ptr + v, tl.sum(q_K[:, None] * S_KV, 0), mask=is_value)

    # Nobody else reads these channels of the history.
    tl.debug_barrier()
    remember(x_ptr, row_ptr, v_channel, is_value, channels, J)
    counter_ptr = counters_ptr + b * (H + G)
    if is_last(counter_ptr + h, num_blocks):
        every = tl.arange(0, VALUES)
        is_every = every < V
        y_V = tl.load(head_ptr + every, mask=is_every, other=0.0, cache_modifier=".cg")
        y_V = y_V * tl.rsqrt(tl.sum(y_V * y_V, 0) / V + norm_eps)
        y_V = y_V * tl.load(norm_ptr + every, mask=is_every, other=0.0).to(tl.float32)
        if GATED:
            gate_V = tl.load(gate_ptr + b * gate_stride + h * V + every, mask=is_every, other=0.0).to(tl.float32)
            y_V = y_V * silu(gate_V)
        tl.store(y_ptr + (b * H + h) * V + every, y_V, mask=is_every)
    # All value blocks of all heads that share these keys have read them.
    if is_last(counter_ptr + H + g, num_blocks * (H // G)):
        remember(x_ptr, row_ptr, q_channel, is_key, channels, J)
        remember(x_ptr, row_ptr, k_channel, is_key, channels, J)


def new_scratch(carried_BHKV: Tensor, *, num_key_heads: int) -> StepScratch:
    """Return the memory `delta_step` needs for this state."""
    batch, heads, _, width = carried_BHKV.shape
    return StepScratch.new(
        batch_size=batch,
        inner_size=heads * width,
        num_counters=heads + num_key_heads,
        device=carried_BHKV.device,
    )


def delta_step(
    qkv_BC: Tensor,
    beta_BH: Tensor,
    *,
    conv_weight_CW: Tensor,
    history_BJC: Tensor,
    carried_BHKV: Tensor,
    norm_weight_V: Tensor,
    norm_eps: float,
    num_key_heads: int,
    allow_negative_eigenvalues: bool,
    scratch: StepScratch,
    gate_BI: Tensor | None = None,
    decay: tuple[Tensor, Tensor, Tensor] | None = None,
) -> Tensor:
    """Return what goes into the output projection, [B, I] in the inputs' dtype; history and memory move on in place.

    Args:
        qkv_BC: Projected inputs of the convolutions, queries, keys, values; a view with contiguous channels.
        beta_BH: Writing strengths before the sigmoid, one for each head of values.
        conv_weight_CW: Filters.
        history_BJC: Last inputs of the convolutions.
        carried_BHKV: The memory, float32.
        norm_weight_V: Weight of the head norm.
        norm_eps: Added to its mean square.
        num_key_heads: Heads of queries and keys; a divisor of H.
        allow_negative_eigenvalues: Whether strengths reach 2.
        scratch: From `new_scratch`, of this state.
        gate_BI: Gate before its SiLU; none means no gate.
        decay: Step size [B, H] before its bias, A_log [H] and the bias [H]; none means no decay.
    """
    batch, heads, keys, values = carried_BHKV.shape
    y_BI = torch.empty(batch, heads * values, dtype=qkv_BC.dtype, device=qkv_BC.device)
    gate = qkv_BC if gate_BI is None else gate_BI
    dt_BH, A_log_H, dt_bias_H = (beta_BH, norm_weight_V, norm_weight_V) if decay is None else decay
    _delta_step[(triton.cdiv(values, VALUES_A_PROGRAM), heads, batch)](
        qkv_BC,
        beta_BH,
        dt_BH,
        gate,
        conv_weight_CW,
        history_BJC,
        carried_BHKV,
        A_log_H,
        dt_bias_H,
        norm_weight_V,
        scratch.unfinished,
        scratch.counters,
        y_BI,
        qkv_BC.stride(0),
        beta_BH.stride(0),
        dt_BH.stride(0),
        gate.stride(0),
        keys**-0.5,
        UNIT_EPS,
        norm_eps,
        heads,
        num_key_heads,
        keys,
        values,
        J=history_BJC.shape[1],
        KEYS=triton.next_power_of_2(keys),
        BLOCK=VALUES_A_PROGRAM,
        VALUES=triton.next_power_of_2(values),
        TWICE_BETA=allow_negative_eigenvalues,
        DECAYS=decay is not None,
        GATED=gate_BI is not None,
        num_warps=4,
    )
    return y_BI
