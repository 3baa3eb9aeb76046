"""The selective state space in √T steps: all chunks run side by side, then each gets what the chunks before it left.

Every channel has its own decays, so there is no matrix form as in Mamba2. Equal to `reference.recurrent` up to
rounding.
"""

import math
from typing import Any

import torch
from torch import Tensor

from operators.chunks import Chunking
from operators.context import Documents


def chunked(
    x_BTI: Tensor,
    dt_BTI: Tensor,
    A_IN: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    *,
    state_BIN: Tensor,
    documents: Documents | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the outputs [B, T, I] and the state after the last token.

    Every document of a packed row starts from `state_BIN`.
    """
    tokens = x_BTI.shape[1]
    chunking = Chunking.of(tokens, longest=max(1, math.isqrt(tokens)))
    # Axes L (token of a chunk) and C (chunk) come first: a step of the scan is one contiguous slice.
    dt_LCBI, x_LCBI, B_LCBN, C_LCBN = (
        chunking.split(x).permute(2, 1, 0, 3) for x in (dt_BTI, dt_BTI * x_BTI, B_BTN, C_BTN)
    )
    decay_LCBIN = (dt_LCBI[..., None] * A_IN).exp()
    input_LCBIN = x_LCBI[..., None] * B_LCBN[..., None, :]
    if documents is not None:
        is_first_BT = (documents.offset == 0)[..., None]
        is_first_LCB11 = chunking.split(is_first_BT).permute(2, 1, 0, 3)[..., None]
        input_LCBIN = torch.where(is_first_LCB11, decay_LCBIN * state_BIN + input_LCBIN, input_LCBIN)
        decay_LCBIN = decay_LCBIN.masked_fill(is_first_LCB11, 0)
    states_LCBIN: Tensor = _Scan.apply(decay_LCBIN, input_LCBIN, state_BIN)  # type: ignore[no-untyped-call]
    y_LCBI = (states_LCBIN @ C_LCBN[..., None]).squeeze(-1)
    return chunking.join(y_LCBI.permute(2, 1, 0, 3)), states_LCBIN[-1, -1]


class _Scan(torch.autograd.Function):
    """h_t = a_t · h_{t−1} + b_t over time t = chunk · L + index, with axes [L, C, …]."""

    @staticmethod
    def forward(ctx: Any, a_LC: Tensor, b_LC: Tensor, initial: Tensor) -> Tensor:
        states = _scan(a_LC, b_LC, initial)
        ctx.save_for_backward(a_LC, states, initial)
        return states

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a_LC, states, initial = ctx.saved_tensors
        # The adjoint g_t = grad_t + a_{t+1} · g_{t+1} is the same scan backwards in time.
        following = torch.empty_like(a_LC)
        following[:-1] = a_LC[1:]
        following[-1, :-1] = a_LC[0, 1:]
        following[-1, -1] = 0
        adjoint = _scan(following.flip(0, 1), grads[0].flip(0, 1), torch.zeros_like(initial)).flip(0, 1)
        previous = torch.empty_like(states)
        previous[1:] = states[:-1]
        previous[0, 1:] = states[-1, :-1]
        previous[0, 0] = initial
        return adjoint * previous, adjoint, a_LC[0, 0] * adjoint[0, 0]


def _scan(a_LC: Tensor, b_LC: Tensor, initial: Tensor) -> Tensor:
    length, num_chunks = a_LC.shape[:2]
    states, decays = torch.empty_like(b_LC), torch.empty_like(a_LC)
    states[0], decays[0] = b_LC[0], a_LC[0]
    for index in range(1, length):
        torch.addcmul(b_LC[index], a_LC[index], states[index - 1], out=states[index])
        torch.mul(a_LC[index], decays[index - 1], out=decays[index])
    before = torch.empty_like(b_LC[0])
    before[0] = initial
    for chunk in range(1, num_chunks):
        torch.addcmul(states[-1, chunk - 1], decays[-1, chunk - 1], before[chunk - 1], out=before[chunk])
    return states.addcmul_(decays, before)
