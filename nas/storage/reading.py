"""What a place that holds a study says of it, and what of it is new since it was last asked.

Each kind of place has a reading of its own: journal files, PostgreSQL, SQLite. None writes, takes a lock that a writer
waits for, or waits for a writer's.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.study_format import StoredTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What is new in a study."""

    attributes: Mapping[str, Any]
    """All of the study's own."""

    trials: Sequence[StoredTrial]
    """Those that began, ended or were changed."""

    is_anew: bool
    """Whether these are all trials, and what was read before no longer counts."""


class StudyReading(ABC):
    """One study in one place."""

    @abstractmethod
    def news(self) -> News | None:
        """Return what is new since the last call, at the first all of it; none where there is no such study.

        Raises:
            FileNotFoundError: there is no such file.
            StudyError: it is damaged.
            StorageError: it cannot be reached.
        """

    @abstractmethod
    def revision(self) -> object:
        """Return something whose `repr` changes when there may be news; costs next to nothing.

        Raises:
            StorageError: it cannot be reached.
        """


def file_mark(stat: Any) -> tuple[int, int, int]:
    """Return what tells a file from itself as it was: inode, size and time of change."""
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
