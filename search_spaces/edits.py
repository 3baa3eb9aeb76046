"""Edit a sequence of operators and keep its KV-sharing links right.

A link names another operator by position. An edit moves positions; a link whose source was replaced, removed or moved
behind its reader is dropped, and the reader makes its own keys and values again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.specs import OperatorSpec, kv_form, kv_source, with_kv_source


@dataclass(frozen=True, slots=True)
class Kept:
    """An operator taken over from position `index` of the sequence before the edit."""

    index: int


Edit = Kept | OperatorSpec
"""One operator after an edit: an old one, or a new one."""


def apply_edit(operators: Sequence[OperatorSpec], edit: Sequence[Edit]) -> tuple[OperatorSpec, ...]:
    """Return the operators after an edit, links re-indexed or dropped. New operators have no links."""
    moved_to = {entry.index: position for position, entry in enumerate(edit) if isinstance(entry, Kept)}
    result: list[OperatorSpec] = []
    for position, entry in enumerate(edit):
        if not isinstance(entry, Kept):
            result.append(entry)
            continue
        spec = operators[entry.index]
        source = kv_source(spec)
        if source is not None:
            new_source = moved_to.get(source)
            spec = with_kv_source(spec, new_source if new_source is not None and new_source < position else None)
        result.append(spec)
    return tuple(result)


def drop_broken_links(operators: Sequence[OperatorSpec]) -> tuple[OperatorSpec, ...]:
    """Return the operators without links between keys and values of different forms."""
    return tuple(
        spec
        if (source := kv_source(spec)) is None or kv_form(spec) == kv_form(operators[source])
        else with_kv_source(spec, None)
        for spec in operators
    )
