"""What one architecture costs in detail, or a sentence that says why that is not known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dashboards.frame import MemoryAt, Results
from search_spaces import Architecture
from search_spaces.errors import NasError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What is known."""

    floor_ms: Mapping[str, float] = field(default_factory=dict)
    """By operator name; empty where it is not known."""

    memory: tuple[MemoryAt, ...] = ()
    """By growing context; empty where it is not known."""

    complaints: tuple[str, ...] = ()
    """Why it is not known, where that is an error."""


def price_of(results: Results, architecture: Architecture | None) -> Pricing:
    """Return what an architecture costs."""
    if architecture is None or results.price is None:
        return Pricing()
    try:
        priced = results.price(architecture)
    except NasError as error:
        return Pricing(complaints=(f"Its floor and its memory are not known: {error}",))
    return Pricing(floor_ms=priced.floor_ms_by_operator, memory=priced.memory)
