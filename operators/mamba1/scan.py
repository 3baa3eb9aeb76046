"""The selective state space over a whole sequence, with a hand-written gradient.

Every channel has its own decays, so there is no matrix form as in Mamba2. What can be done for all tokens at once is;
only the recurrence itself walks over time, one multiply-add a token on all sequences and channels. Equal to
`reference.recurrent` up to rounding.
"""

from typing import Any

import torch
from torch import Tensor

from operators.context import Documents


def scanned(
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
    is_first_TB11 = None if documents is None else (documents.offset == 0).T[..., None, None]
    y_BTI, last_BIN = _Scan.apply(  # type: ignore[no-untyped-call]
        dt_BTI * x_BTI, dt_BTI, A_IN, B_BTN, C_BTN, state_BIN, is_first_TB11
    )
    return y_BTI, last_BIN


class _Scan(torch.autograd.Function):
    """h_t = exp(dt_t A) h_{t−1} + u_t B_tᵀ, y_t = h_t C_t; h_0 takes the place of h_{t−1} where a document begins.

    Within, time comes first: a step of the recurrence is one contiguous slice.
    """

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, initial: Tensor, is_first: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        u, dt, B, C = (_swapped(x) for x in (u, dt, B, C))
        decay = (dt[..., None] * A).exp_()
        states = torch.empty(len(u) + 1, *initial.shape, dtype=u.dtype, device=u.device)
        states[0] = initial
        torch.mul(u[..., None], B[:, :, None], out=states[1:])
        for t in range(len(u)):
            before = states[t] if is_first is None else torch.where(is_first[t], initial, states[t])
            states[t + 1].addcmul_(decay[t], before)
        ctx.save_for_backward(u, dt, A, B, C, is_first, decay, states)
        y: Tensor = (states[1:] @ C[..., None]).squeeze(-1)
        return _swapped(y), states[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        u, dt, A, B, C, is_first, decay, states = ctx.saved_tensors
        grad_y = _swapped(grads[0])
        adjoint = grad_y[..., None] * C[:, :, None]
        adjoint[-1] += grads[1]
        onward = decay if is_first is None else decay.masked_fill(is_first, 0)
        for t in range(len(u) - 2, -1, -1):
            adjoint[t].addcmul_(onward[t + 1], adjoint[t + 1])
        before, grad_initial = states[:-1], onward[0] * adjoint[0]
        if is_first is not None:
            before = torch.where(is_first, states[0], before)
            grad_initial = grad_initial + (decay * is_first * adjoint).sum(0)
        # Of the decays' exponents dt · A.
        grad_exponent = (adjoint * before).mul_(decay)
        return (
            _swapped((adjoint @ B[..., None]).squeeze(-1)),
            _swapped((grad_exponent * A).sum(-1)),
            (grad_exponent * dt[..., None]).sum((0, 1)),
            _swapped((u[..., None, :] @ adjoint).squeeze(-2)),
            _swapped((grad_y[..., None, :] @ states[1:]).squeeze(-2)),
            grad_initial,
            None,
        )


def _swapped(x: Tensor) -> Tensor:
    """Return x with its first two axes swapped, contiguous."""
    return x.transpose(0, 1).contiguous()
