"""What a layer of fla remembers: the tensors of its cache entry, at fixed addresses.

What they mean is known to the layer alone; here is only where in the entry each of them belongs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from torch import Tensor

from operators.base import State
from search_spaces.errors import SpecError

Layout = Any
"""A cache entry with the running number of each tensor in its place."""


@final
@dataclass(slots=True, eq=False, kw_only=True)
class FlaState(State):
    """Tensors [B, …] of one cache entry."""

    parts: tuple[Tensor, ...]

    layout: Layout

    def tensors(self) -> tuple[Tensor, ...]:
        """Return every tensor of the state."""
        return self.parts


def take_apart(entry: Any) -> tuple[Layout, tuple[Tensor, ...]]:
    """Return the layout of a cache entry and its tensors.

    Raises:
        SpecError: it holds what is neither a tensor nor a mapping or sequence of them.
    """
    parts: list[Tensor] = []

    def number(leaf: Any) -> int | None:
        if leaf is None:
            return None
        if not isinstance(leaf, Tensor):
            raise SpecError(f"A state must consist of tensors; fla keeps a {type(leaf).__name__}. Use another layer.")
        parts.append(leaf)
        return len(parts) - 1

    return _map(entry, number), tuple(parts)


def put_together(layout: Layout, parts: Sequence[Tensor]) -> Any:
    """Return the cache entry of a layout with these tensors."""
    return _map(layout, lambda index: None if index is None else parts[index])


def _map(value: Any, change: Callable[[Any], Any]) -> Any:
    match value:
        case dict():
            return {key: _map(item, change) for key, item in value.items()}
        case tuple() | list():
            return tuple(_map(item, change) for item in value)
        case _:
            return change(value)
