"""Loops that torch.compile does not look into: traced, they are one operation, whatever the number of turns.

Unrolled, they would make compiling slow and give every length a graph of its own. Run eagerly they are the function
itself. An operation has no gradient: it is called inside of a `torch.autograd.Function`.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R", Tensor, tuple[Tensor, Tensor])


def opaque(name: str, *, like: Callable[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that makes a function of tensors the operation `hybridnas::name` while it is traced.

    Args:
        name: Name of the operation.
        like: Returns empty tensors of the results' shapes; takes what the function takes. No result may share memory
            with an argument.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        operation = torch.library.custom_op(f"hybridnas::{name}", function, mutates_args=())
        operation.register_fake(like)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if torch.compiler.is_compiling():
                traced: R = operation(*args, **kwargs)
                return traced
            # What an operation costs before it begins is as much as several turns of a loop.
            return function(*args, **kwargs)

        return call

    return decorate
