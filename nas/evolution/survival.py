"""Who stays in the population."""

from collections.abc import Hashable
from typing import TypeVar

from nas.candidates import History, Record

G = TypeVar("G", bound=Hashable)


def youngest(history: History[G], *, size: int) -> list[Record[G]]:
    """Return the last `size` feasible candidates by number: aging, where the oldest is removed first.

    Age is when a candidate was proposed, not when it ended, so that the order in which workers finish changes nothing.
    """
    return sorted(history.finished(), key=lambda record: record.number)[-size:]


def archive(history: History[G], *, size: int) -> list[Record[G]]:
    """Return the frontier of everything seen and the `size` youngest of the rest."""
    frontier = history.frontier()
    members = {record.number for record in frontier}
    rest = [record for record in youngest(history, size=size) if record.number not in members]
    return sorted([*frontier, *rest], key=lambda record: record.number)
