"""Checks that every space of language models makes on its own limits, once, when it is built."""

from collections.abc import Iterable, Sequence
from typing import Any

from search_spaces.architecture import Architecture
from search_spaces.dimensions import Dimensions
from search_spaces.errors import SpecError
from search_spaces.specs import OperatorSpec


def checked_increasing(name: str, values: Iterable[int]) -> tuple[int, ...]:
    """Return positive integers in ascending order.

    Raises:
        SpecError: none, one given twice, or one that is no positive integer.
    """
    result = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else ()
    if not result or not all(type(value) is int and value > 0 for value in result) or len(set(result)) < len(result):
        raise SpecError(f"{name} must hold at least one positive integer, each once; got {values!r}.")
    return tuple(sorted(result))


def check_range(*, min_operators: int, max_operators: int) -> None:
    """Refuse an empty range of depths.

    Raises:
        SpecError: a limit below 1, or min_operators above max_operators.
    """
    for name, value in (("min_operators", min_operators), ("max_operators", max_operators)):
        if type(value) is not int or value < 1:
            raise SpecError(f"{name} must be a positive integer; got {value!r}.")
    if min_operators > max_operators:
        raise SpecError(
            f"min_operators must not exceed max_operators; got {min_operators} and {max_operators}. "
            f"Set min_operators to at most {max_operators}."
        )


def check_buildable(
    letters: Sequence[str],
    *,
    menu: tuple[OperatorSpec, ...] = (),
    hidden_sizes: Sequence[int],
    dimensions: Dimensions,
    **model: Any,
) -> None:
    """Build every operator of `letters` and `menu` at every width once, so that decoding can never fail.

    Raises:
        SpecError: a width the heads do not divide, a window no letter uses, or a rule `model` (vocabulary, meta
            tokens, head) breaks.
    """
    if not isinstance(dimensions, Dimensions):
        raise SpecError(f"dimensions must be Dimensions; got {type(dimensions).__name__}.")
    dimensions.check_used(letters)
    for hidden_size in hidden_sizes:
        try:
            operators = dimensions.operators(letters, hidden_size=hidden_size)
        except SpecError as error:
            raise SpecError(f"hidden_sizes holds {hidden_size}, at which no model can be built. {error}") from None
        Architecture(hidden_size=hidden_size, operators=operators + menu, **model)
