"""One token of Mamba2 between its projections, in one kernel.

Convolution, activation, step size and decay, state update in place, skip, gate and norm. The mathematics is that of
`mixer.py`; programs divide the channels of a head, whose rows of the state do not know each other.
"""

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from operators.step_device import convolve, is_last, remember, silu, softplus
from operators.step_scratch import StepScratch

CHANNELS_A_PROGRAM: Final = 16
"""With 64 heads of 64 channels and a state of 128 these are 256 programs of an 8 KiB tile each at batch 1."""

NORM_BLOCK: Final = 1024
"""Channels the norm takes at once."""


@triton.jit
def _mamba2_step(
    z_ptr,
    xbc_ptr,
    dt_ptr,
    conv_ptr,
    conv_bias_ptr,
    history_ptr,
    carried_ptr,
    A_log_ptr,
    D_ptr,
    dt_bias_ptr,
    norm_ptr,
    unfinished_ptr,
    counters_ptr,
    y_ptr,
    z_stride,
    xbc_stride,
    dt_stride,
    norm_eps,
    H,
    P,
    N,
    G,
    NORM_GROUPS,
    J: tl.constexpr,
    BLOCK: tl.constexpr,
    STATES: tl.constexpr,
    NORM: tl.constexpr,
):
    block, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    num_blocks = tl.num_programs(0)
    g = h // (H // G)
    inner = H * P
    channels = inner + 2 * G * N
    x_ptr = xbc_ptr + b * xbc_stride
    row_ptr = history_ptr + b * J * channels

    p = block * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, STATES)
    is_channel, is_state = p < P, n < N
    x_channel, B_channel, C_channel = h * P + p, inner + g * N + n, inner + (G + g) * N + n
    x_P = convolve(x_ptr, row_ptr, conv_ptr, conv_bias_ptr, x_channel, is_channel, channels, J, True)
    B_N = convolve(x_ptr, row_ptr, conv_ptr, conv_bias_ptr, B_channel, is_state, channels, J, True)
    C_N = convolve(x_ptr, row_ptr, conv_ptr, conv_bias_ptr, C_channel, is_state, channels, J, True)
    dt = softplus(tl.load(dt_ptr + b * dt_stride + h).to(tl.float32) + tl.load(dt_bias_ptr + h).to(tl.float32))
    decay = tl.exp(-tl.exp(tl.load(A_log_ptr + h).to(tl.float32)) * dt)

    tile = carried_ptr + ((b * H + h) * P + p[:, None]) * N + n[None, :]
    is_tile = is_channel[:, None] & is_state[None, :]
    S_PN = tl.load(tile, mask=is_tile, other=0.0) * decay + (dt * x_P)[:, None] * B_N[None, :]
    tl.store(tile, S_PN, mask=is_tile)
    y_P = tl.sum(S_PN * C_N[None, :], 1) + tl.load(D_ptr + h).to(tl.float32) * x_P
    tl.store(unfinished_ptr + b * inner + x_channel, y_P, mask=is_channel)

    # Nobody else reads these channels of the history.
    tl.debug_barrier()
    remember(x_ptr, row_ptr, x_channel, is_channel, channels, J)
    counter_ptr = counters_ptr + b * (G + NORM_GROUPS)
    # All heads of the group have read its B and C.
    if is_last(counter_ptr + g, num_blocks * (H // G)):
        remember(x_ptr, row_ptr, B_channel, is_state, channels, J)
        remember(x_ptr, row_ptr, C_channel, is_state, channels, J)
    heads_a_norm = H // NORM_GROUPS
    m = h // heads_a_norm
    if is_last(counter_ptr + G + m, num_blocks * heads_a_norm):
        width = heads_a_norm * P
        start = m * width
        squares = tl.zeros((NORM,), dtype=tl.float32)
        for first in range(0, width, NORM):
            c = first + tl.arange(0, NORM)
            gated = _gated(unfinished_ptr + b * inner + start, z_ptr + b * z_stride + start, c, c < width)
            squares += gated * gated
        scale = tl.rsqrt(tl.sum(squares, 0) / width + norm_eps)
        for first in range(0, width, NORM):
            c = first + tl.arange(0, NORM)
            gated = _gated(unfinished_ptr + b * inner + start, z_ptr + b * z_stride + start, c, c < width)
            weight = tl.load(norm_ptr + start + c, mask=c < width, other=0.0).to(tl.float32)
            tl.store(y_ptr + b * inner + start + c, gated * scale * weight, mask=c < width)


@triton.jit
def _gated(unfinished_ptr, z_ptr, channel, mask):
    y = tl.load(unfinished_ptr + channel, mask=mask, other=0.0, cache_modifier=".cg")
    return y * silu(tl.load(z_ptr + channel, mask=mask, other=0.0).to(tl.float32))


def new_scratch(carried_BHPN: Tensor, *, num_groups: int, num_norm_groups: int) -> StepScratch:
    """Return the memory `mamba2_step` needs for this state."""
    batch, heads, width, _ = carried_BHPN.shape
    return StepScratch.new(
        batch_size=batch,
        inner_size=heads * width,
        num_counters=num_groups + num_norm_groups,
        device=carried_BHPN.device,
    )


def mamba2_step(
    z_BI: Tensor,
    xbc_BC: Tensor,
    dt_BH: Tensor,
    *,
    conv_weight_CW: Tensor,
    conv_bias_C: Tensor,
    history_BJC: Tensor,
    carried_BHPN: Tensor,
    A_log_H: Tensor,
    D_H: Tensor,
    dt_bias_H: Tensor,
    norm_weight_I: Tensor,
    norm_eps: float,
    num_groups: int,
    num_norm_groups: int,
    scratch: StepScratch,
) -> Tensor:
    """Return the gated and normalised output, [B, I] in the inputs' dtype; history and state move on in place.

    Args:
        z_BI: Gate before its SiLU; like the next two a view with contiguous channels.
        xbc_BC: Projected inputs of the convolution: x, B, C.
        dt_BH: Step sizes before bias and softplus.
        conv_weight_CW: Filters.
        conv_bias_C: Their biases.
        history_BJC: Last inputs of the convolution.
        carried_BHPN: The state, float32.
        A_log_H: Logarithms of the decay rates.
        D_H: Weights of the skip.
        dt_bias_H: Biases of the step sizes.
        norm_weight_I: Weight of the gated norm.
        norm_eps: Added to its mean square.
        num_groups: Groups of heads that share B and C.
        num_norm_groups: Equal parts that are normalised each for itself.
        scratch: From `new_scratch`, of this state.
    """
    batch, heads, width, states = carried_BHPN.shape
    y_BI = torch.empty(batch, heads * width, dtype=xbc_BC.dtype, device=xbc_BC.device)
    _mamba2_step[(triton.cdiv(width, CHANNELS_A_PROGRAM), heads, batch)](
        z_BI,
        xbc_BC,
        dt_BH,
        conv_weight_CW,
        conv_bias_C,
        history_BJC,
        carried_BHPN,
        A_log_H,
        D_H,
        dt_bias_H,
        norm_weight_I,
        scratch.unfinished,
        scratch.counters,
        y_BI,
        z_BI.stride(0),
        xbc_BC.stride(0),
        dt_BH.stride(0),
        norm_eps,
        heads,
        width,
        states,
        num_groups,
        num_norm_groups,
        J=history_BJC.shape[1],
        BLOCK=CHANNELS_A_PROGRAM,
        STATES=triton.next_power_of_2(states),
        NORM=min(NORM_BLOCK, triton.next_power_of_2(heads * width // num_norm_groups)),
        num_warps=4,
    )
    return y_BI
