"""Who stays in the population."""

from collections.abc import Hashable
from typing import TypeVar

from nas.candidates import History, Record

G = TypeVar("G", bound=Hashable)


def archive(history: History[G], *, size: int) -> list[Record[G]]:
    """Return the frontier of everything seen and the `size` youngest of the rest, by number.

    Age is when a candidate was proposed, not when it ended, so that the order in which workers finish changes nothing.
    """
    frontier = history.frontier()
    members = {record.number for record in frontier}
    rest = [record for record in history.youngest(size) if record.number not in members]
    return sorted([*frontier, *rest], key=lambda record: record.number)
