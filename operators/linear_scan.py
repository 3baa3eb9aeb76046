"""The recurrence h_i = a_i · h_{i−1} + b_i, run in place with a hand-written gradient.

A loop over the first axis: meant for few, large steps (chunks), not for single tokens. The loops are operations of
their own, which torch.compile does not look into: one graph serves any number of steps.
"""

from typing import Any

import torch
from torch import Tensor

from operators.once_differentiable import once_differentiable
from operators.opaque import opaque


def linear_scan(a_C: Tensor, b_C: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
    """Return the state before every step [C, …] and the one after the last.

    Args:
        a_C: Factors [C, …], broadcast against b.
        b_C: Terms [C, …].
        initial: State before the first step, shaped like one term.
    """
    before_C, last = _LinearScan.apply(a_C, b_C, initial)  # type: ignore[no-untyped-call]
    return before_C, last


class _LinearScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a_C: Tensor, b_C: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        states = _states(a_C, b_C, initial)
        ctx.save_for_backward(a_C, states)
        ctx.set_materialize_grads(False)
        return states[:-1], states[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        a_C, states = ctx.saved_tensors
        from_states = torch.zeros_like(states[:-1]) if grads[0] is None else grads[0]
        grad = _adjoints(a_C, from_states, grads[1])
        return (grad[1:] * states[:-1]).sum_to_size(a_C.shape), grad[1:], grad[0]


def _empty_states(a_C: Tensor, b_C: Tensor, initial: Tensor) -> Tensor:
    del a_C, initial
    return b_C.new_empty(b_C.shape[0] + 1, *b_C.shape[1:])


@opaque("linear_scan", like=_empty_states)
def _states(a_C: Tensor, b_C: Tensor, initial: Tensor) -> Tensor:
    """Return the initial state and the one after every step, [C + 1, …]."""
    states = _empty_states(a_C, b_C, initial)
    states[0] = initial
    for index in range(b_C.shape[0]):
        torch.addcmul(b_C[index], a_C[index], states[index], out=states[index + 1])
    return states


def _empty_adjoints(a_C: Tensor, from_states: Tensor, from_last: Tensor | None) -> Tensor:
    del a_C, from_last
    return from_states.new_empty(from_states.shape[0] + 1, *from_states.shape[1:])


@opaque("linear_scan_backward", like=_empty_adjoints)
def _adjoints(a_C: Tensor, from_states: Tensor, from_last: Tensor | None) -> Tensor:
    """Return the gradients of the initial state and of the one after every step, [C + 1, …]."""
    grad = _empty_adjoints(a_C, from_states, from_last)
    if from_last is None:
        grad[-1].zero_()
    else:
        grad[-1].copy_(from_last)
    for index in range(a_C.shape[0] - 1, -1, -1):
        torch.addcmul(from_states[index], a_C[index], grad[index + 1], out=grad[index])
    return grad
