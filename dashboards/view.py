"""What a reader chose to see, and the query of a link that brings the same view back.

Everything a page shows is a function of results and this; nothing else is remembered. Whatever a link asks for that
cannot be is said, and the rest is shown.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Final, Literal, get_args
from urllib.parse import parse_qsl, quote, urlencode

PageName = Literal["frontier", "candidate", "progress", "why", "compare", "table"]
Scale = Literal["auto", "log", "linear"]
Over = Literal["candidates", "time"]

MAX_COMPARED: Final = 4

Ranges = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of a study. The defaults are what a page without a query shows."""

    page: PageName = "frontier"

    study: str = ""
    """Name of the study in front; empty is the first."""

    overlay: tuple[str, ...] = ()
    """Names of further studies drawn over it."""

    x: str = ""
    """Column drawn to the right; empty is the second objective."""

    y: str = ""
    """Column drawn upwards; empty is the first objective."""

    x_scale: Scale = "auto"
    y_scale: Scale = "auto"
    """Automatic is logarithmic where the objective says so."""

    budget: float | None = None
    """Most of what is drawn to the right that a pick may cost."""

    hide: tuple[str, ...] = ()
    """Statuses and origins that are not drawn."""

    find: str = ""
    """What the pattern of drawn candidates contains, or their number."""

    brush: Ranges = field(default_factory=lambda: MappingProxyType({}))
    """Lowest and highest of columns between which candidates are picked out."""

    trial: int | None = None
    """The candidate that is looked at."""

    compare: tuple[int, ...] = ()
    """Candidates side by side, at most `MAX_COMPARED`."""

    over: Over = "candidates"
    """What progress is drawn over: candidates evaluated, or time."""

    def query(self) -> str:
        """Return the query that brings this view back, with its question mark; empty for the default view."""
        blank = View()
        pairs = [
            (entry.name, _WRITE.get(entry.name, str)(getattr(self, entry.name)))
            for entry in fields(self)
            if getattr(self, entry.name) != getattr(blank, entry.name)
        ]
        return "?" + urlencode(pairs, quote_via=quote, safe=",:") if pairs else ""

    def link(self, **changes: Any) -> str:
        """Return the link to this view with some fields changed."""
        return replace(self, **changes).query() or "?"


def view_of(query: str) -> tuple[View, list[str]]:
    """Return the view a query asks for, and a sentence for everything in it that cannot be followed."""
    found: dict[str, Any] = {}
    complaints: list[str] = []
    names = [entry.name for entry in fields(View)]
    for name, text in parse_qsl(query.removeprefix("?")):
        if name not in names:
            complaints.append(f"The link asks for {name!r}, which is no part of a view; known are {', '.join(names)}.")
            continue
        try:
            found[name] = _READ.get(name, str)(text)
        except ValueError as error:
            complaints.append(f"The link's {name} was left out: {error}.")
    return View(**found), complaints


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it must be one of {', '.join(choices)}; got {text!r}")
        return text

    return read


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"it must be a number; got {text!r}")
    return value


def _trial(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"it must be the number of a trial; got {text!r}")
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in text.split(",") if word))


def _trials(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_trial(word) for word in _words(text)))[:MAX_COMPARED]


def _ranges(text: str) -> Ranges:
    found = {}
    for word in _words(text):
        column, *ends = word.split(":")
        if len(ends) != 2:
            raise ValueError(f"a range is COLUMN:LOWEST:HIGHEST; got {word!r}")
        low, high = map(_number, ends)
        found[column] = (min(low, high), max(low, high))
    return MappingProxyType(found)


def _write_ranges(ranges: Ranges) -> str:
    return ",".join(f"{column}:{low:.6g}:{high:.6g}" for column, (low, high) in ranges.items())


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "page": _one_of(*get_args(PageName)),
    "overlay": _words,
    "x_scale": _one_of(*get_args(Scale)),
    "y_scale": _one_of(*get_args(Scale)),
    "budget": _number,
    "hide": _words,
    "brush": _ranges,
    "trial": _trial,
    "compare": _trials,
    "over": _one_of(*get_args(Over)),
}

_WRITE: Final[Mapping[str, Callable[[Any], str]]] = {
    "overlay": ",".join,
    "hide": ",".join,
    "compare": lambda numbers: ",".join(map(str, numbers)),
    "brush": _write_ranges,
    "budget": lambda value: f"{value:.6g}",
}
