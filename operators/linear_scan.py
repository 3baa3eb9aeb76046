"""The recurrence h_i = a_i · h_{i−1} + b_i, run in place with a hand-written gradient.

A loop over the first axis: meant for few, large steps (chunks), not for single tokens.
"""

from typing import Any

import torch
from torch import Tensor


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a_C: Tensor, b_C: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        states = torch.empty(b_C.shape[0] + 1, *b_C.shape[1:], dtype=b_C.dtype, device=b_C.device)
        states[0] = initial
        for index in range(b_C.shape[0]):
            torch.addcmul(b_C[index], a_C[index], states[index], out=states[index + 1])
        ctx.save_for_backward(a_C, states)
        ctx.set_materialize_grads(False)
        return states[:-1], states[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        a_C, states = ctx.saved_tensors
        from_states = torch.zeros_like(states[:-1]) if grads[0] is None else grads[0]
        grad = torch.empty_like(states)
        if grads[1] is None:
            grad[-1].zero_()
        else:
            grad[-1].copy_(grads[1])
        for index in range(a_C.shape[0] - 1, -1, -1):
            torch.addcmul(from_states[index], a_C[index], grad[index + 1], out=grad[index])
        return (grad[1:] * states[:-1]).sum_to_size(a_C.shape), grad[1:], grad[0]


def linear_scan(a_C: Tensor, b_C: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Return the state before every step [C, …] and the one after the last.

    Args:
        a_C: Factors [C, …], broadcast against b.
        b_C: Terms [C, …].
        initial: State before the first step, shaped like one term.
    """
    before_C, last = _LinearScan.apply(a_C, b_C, initial)  # type: ignore[no-untyped-call]
    return before_C, last
