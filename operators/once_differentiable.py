"""Hand-written gradients that cannot be differentiated again say so; torch by itself returns a number, and a wrong one.

Torch's decorator of this name is not enough: what it returns leads back to no input, so that `torch.autograd.grad`
leaves it out without a word where the input is reached by another way.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

from search_spaces.errors import UnavailableError

P = ParamSpec("P")
R = TypeVar("R")


def once_differentiable(backward: Callable[P, R]) -> Callable[P, R]:
    """Decorate `backward` of a `torch.autograd.Function`: it raises UnavailableError where a graph of it is asked for.

    Compiled, it is torch that refuses.
    """

    @wraps(backward)
    def once(*args: P.args, **kwargs: P.kwargs) -> Any:
        # Gradients are enabled in a backward pass if and only if `create_graph` is set.
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():
            raise UnavailableError(
                "Operators have first derivatives only: their gradients are hand-written; got create_graph=True. "
                "Leave it out."
            )
        return backward(*args, **kwargs)

    return once
