"""What differs between two configurations, field by field, in words. Judges nothing: `config.py` says what may."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from nas.storage.url import is_url, masked

_MOST_CHARACTERS: Final = 60
_ABSENT: Final = "nothing"


def changes(before: Mapping[str, Any], after: Mapping[str, Any], *, ignored: Sequence[str] = ()) -> list[str]:
    """Return a line about each field that differs, such as `proxy.training.steps: 400 -> 300`.

    Args:
        before: sections by name, as JSON has them.
        after: the other configuration.
        ignored: fields and sections by their dotted names, which may differ.
    """
    found = _changes((), before, after)
    return [
        f"{'.'.join(path)}: {_words(old)} -> {_words(new)}"
        for path, old, new in found
        if not any(path[: len(parts)] == parts for parts in (tuple(name.split(".")) for name in ignored))
    ]


def _changes(path: tuple[str, ...], old: Any, new: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in dict.fromkeys([*old, *new]):
            yield from _changes((*path, str(name)), old.get(name, _Absent), new.get(name, _Absent))
    elif old != new:
        yield path, old, new


class _Absent:
    """Stands for a field that one side does not have."""


def _words(value: Any) -> str:
    if value is _Absent:
        return _ABSENT
    text = masked(value) if isinstance(value, str) and is_url(value) else str(value)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
