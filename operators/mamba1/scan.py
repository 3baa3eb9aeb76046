"""The selective state space over a whole sequence, with a hand-written gradient.

Every channel has its own decays, so there is no matrix form as in Mamba2. What can be done for all tokens at once is;
only the recurrence itself walks over time, one multiply-add a token on all sequences and channels; the walks are
operations of their own, which torch.compile does not look into. Equal to `reference.recurrent` up to rounding.
"""

from typing import Any

import torch
from torch import Tensor

from operators.context import Documents
from operators.once_differentiable import once_differentiable
from operators.opaque import opaque


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
        states = _states(decay, u, B, initial, is_first)
        ctx.save_for_backward(u, dt, A, B, C, is_first, decay, states)
        y: Tensor = (states[1:] @ C[..., None]).squeeze(-1)
        return _swapped(y), states[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        u, dt, A, B, C, is_first, decay, states = ctx.saved_tensors
        grad_y = _swapped(grads[0])
        adjoint = _adjoints(decay, grad_y, C, grads[1], is_first)
        before, grad_initial = states[:-1], decay[0] * adjoint[0]
        if is_first is not None:
            before = torch.where(is_first, states[0], before)
            grad_initial = grad_initial.masked_fill(is_first[0], 0) + (decay * is_first * adjoint).sum(0)
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


def _empty_states(decay: Tensor, u: Tensor, B: Tensor, initial: Tensor, is_first: Tensor | None) -> Tensor:
    del u, B, initial, is_first
    return decay.new_empty(decay.shape[0] + 1, *decay.shape[1:])


@opaque("selective_scan", like=_empty_states)
def _states(decay: Tensor, u: Tensor, B: Tensor, initial: Tensor, is_first: Tensor | None) -> Tensor:
    """Return the initial state and the one after every token, [T + 1, B, I, N]."""
    states = _empty_states(decay, u, B, initial, is_first)
    states[0] = initial
    torch.mul(u[..., None], B[:, :, None], out=states[1:])
    for t in range(decay.shape[0]):
        before = states[t] if is_first is None else torch.where(is_first[t], initial, states[t])
        states[t + 1].addcmul_(decay[t], before)
    return states


def _empty_adjoints(decay: Tensor, grad_y: Tensor, C: Tensor, grad_last: Tensor, is_first: Tensor | None) -> Tensor:
    del grad_y, C, grad_last, is_first
    return decay.new_empty(decay.shape)


@opaque("selective_scan_backward", like=_empty_adjoints)
def _adjoints(decay: Tensor, grad_y: Tensor, C: Tensor, grad_last: Tensor, is_first: Tensor | None) -> Tensor:
    """Return the gradient of the state after every token, [T, B, I, N]."""
    adjoint = _empty_adjoints(decay, grad_y, C, grad_last, is_first)
    torch.mul(grad_y[..., None], C[:, :, None], out=adjoint)
    adjoint[-1] += grad_last
    for t in range(decay.shape[0] - 2, -1, -1):
        onward = decay[t + 1] if is_first is None else decay[t + 1].masked_fill(is_first[t + 1], 0)
        adjoint[t].addcmul_(onward, adjoint[t + 1])
    return adjoint


def _swapped(x: Tensor) -> Tensor:
    """Return x with its first two axes swapped, contiguous."""
    return x.transpose(0, 1).contiguous()
