"""Device functions that our one-token kernels share, and how their programs agree on who comes last.

Nothing is launched here. A kernel whose result needs what several programs computed (a norm over them, a history that
all have read) lets the last of them finish the work: each counts itself in when it is done, the last finds all others
counted and sets the counter back for the next token. So a step is one launch and can be replayed in a CUDA graph.
"""

import triton
import triton.language as tl


@triton.jit
def silu(x):
    """Return x · sigmoid(x) in float32."""
    return x / (1.0 + tl.exp(-x))


@triton.jit
def softplus(x):
    """Return log(1 + exp(x)), exact to rounding where exp(x) is tiny; x itself beyond 20, as torch does."""
    e = tl.exp(tl.minimum(x, 20.0))
    u = 1.0 + e
    small = tl.where(u == 1.0, e, tl.log(u) * e / tl.where(u == 1.0, 1.0, u - 1.0))
    return tl.where(x > 20.0, x, small)


@triton.jit
def convolve(
    x_ptr, history_ptr, weight_ptr, bias_ptr, channel, mask, channels, J: tl.constexpr, HAS_BIAS: tl.constexpr
):
    """Return the short convolution's outputs, SiLU taken, for these channels of one row, float32.

    x: inputs of the row; history: [J, channels] of the row; weight: [channels, J + 1].
    """
    total = _input(x_ptr, history_ptr, channel, mask) * tl.load(
        weight_ptr + channel * (J + 1) + J, mask=mask, other=0.0
    ).to(tl.float32)
    for j in tl.static_range(J):
        past = tl.load(history_ptr + j * channels + channel, mask=mask, other=0.0).to(tl.float32)
        total += past * tl.load(weight_ptr + channel * (J + 1) + j, mask=mask, other=0.0).to(tl.float32)
    if HAS_BIAS:
        total += tl.load(bias_ptr + channel, mask=mask, other=0.0).to(tl.float32)
    return silu(total)


@triton.jit
def _input(x_ptr, history_ptr, channel, mask):
    # What enters is what will be remembered: the input in the history's dtype.
    x = tl.load(x_ptr + channel, mask=mask, other=0.0)
    return x.to(history_ptr.dtype.element_ty).to(tl.float32)


@triton.jit
def remember(x_ptr, history_ptr, channel, mask, channels, J: tl.constexpr):
    """Move the history of these channels on by the row's inputs; every reader must be done."""
    for j in tl.static_range(J):
        if j + 1 < J:
            following = tl.load(history_ptr + (j + 1) * channels + channel, mask=mask, other=0.0)
        else:
            following = tl.load(x_ptr + channel, mask=mask, other=0.0).to(history_ptr.dtype.element_ty)
        tl.store(history_ptr + j * channels + channel, following, mask=mask)


@triton.jit
def is_last(counter_ptr, num_programs):
    """Count this program in; return whether it is the last of `num_programs`, and set the counter back if so.

    What the program stored before is visible to the one that finds itself last.
    """
    tl.debug_barrier()
    before = tl.atomic_add(counter_ptr, 1, sem="acq_rel")
    last = before == num_programs - 1
    if last:
        tl.store(counter_ptr, 0)
    tl.debug_barrier()
    return last
