"""The parts of one trial that are kept as JSON, read so that a garbled one is said and hides none of the others.

Not for whole frames: reading costs time, so figures of many trials take columns instead.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dashboards.analysis.selection import architecture_of, curve_of, latency_by_operator
from dashboards.text import is_missing
from search_spaces import Architecture

Part = TypeVar("Part")
Curve = tuple[tuple[float, float | None, float | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialParts:
    """What could be read of a trial."""

    architecture: Architecture | None
    """None where there is none, or it is garbled."""

    latency_ms: Mapping[str, float]
    """By operator name; empty where there is none, or it is garbled."""

    curve: Curve
    """(tokens, training loss, validation loss); empty where there is none, or it is garbled."""

    genome: Any
    """As JSON holds it; None where there is none, or it is garbled."""

    complaints: tuple[str, ...]
    """A sentence for each part that is garbled."""


def parts_of(row: Mapping[str, Any]) -> TrialParts:
    """Return the parts of a trial."""
    complaints: list[str] = []
    return TrialParts(
        architecture=_read(architecture_of, row, "architecture", default=None, complaints=complaints),
        latency_ms=_read(_latency, row, "latency by operator", default={}, complaints=complaints),
        curve=_read(_curve, row, "learning curve", default=(), complaints=complaints),
        genome=_read(_genome, row, "genome", default=None, complaints=complaints),
        complaints=tuple(complaints),
    )


def undrawn_words(row: Mapping[str, Any]) -> str:
    """Return why a trial whose architecture is none has nothing to draw."""
    return "It has no architecture." if is_missing(row["architecture"]) else "Its architecture cannot be read."


def readable_latency(row: Mapping[str, Any]) -> Mapping[str, float]:
    """Return milliseconds by operator name; empty where there are none, or they are garbled."""
    return _read(_latency, row, "latency by operator", default={}, complaints=[])


def readable_curve(row: Mapping[str, Any]) -> Curve:
    """Return the learning curve; empty where there is none, or it is garbled."""
    return _read(_curve, row, "learning curve", default=(), complaints=[])


def _read(
    read: Callable[[Mapping[str, Any]], Part], row: Mapping[str, Any], what: str, *, default: Any, complaints: list[str]
) -> Part:
    try:
        return read(row)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        complaints.append(f"The {what} of trial {row['number']} cannot be read: {error}")
        return default  # type: ignore[no-any-return]  # what a caller gives as default is of the part's type


def _latency(row: Mapping[str, Any]) -> Mapping[str, float]:
    parts = latency_by_operator(row)
    if not all(math.isfinite(value) and value >= 0 for value in parts.values()):
        raise ValueError(f"every part must be a time of at least 0; got {parts}")
    return parts


def _curve(row: Mapping[str, Any]) -> Curve:
    def point(tokens: Any, training: Any, validation: Any) -> tuple[float, float | None, float | None]:
        return float(tokens), *(None if loss is None else float(loss) for loss in (training, validation))  # type: ignore[return-value]  # the two losses

    return tuple(point(*entry) for entry in curve_of(row))


def _genome(row: Mapping[str, Any]) -> Any:
    return None if is_missing(row["genome"]) else json.loads(row["genome"])
