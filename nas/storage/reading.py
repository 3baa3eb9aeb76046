"""What a place that holds a study says of it, and what of it is new since it was last asked.

Each kind of place has a reading of its own: journal files, PostgreSQL, SQLite. None writes, takes a lock that a writer
waits for, or waits for a writer's.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
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

    @property
    def is_written(self) -> bool:
        """Whether a search is known to write it now.

        Raises:
            StorageError: it cannot be reached.
        """
        return False

    @abstractmethod
    def revision(self) -> object:
        """Return something whose `repr` changes when there may be news; costs next to nothing.

        Raises:
            StorageError: it cannot be reached.
        """


def file_mark(path: Path) -> tuple[int, int, int] | None:
    """Return what tells a file from itself as it was: inode, size and time of change; none where there is no file."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def attributes_by_study(rows: Iterable[tuple[str, str | None, str | None]]) -> dict[str, dict[str, Any]]:
    """Return the attributes of every study of a database by name, from rows of name, key and JSON."""
    studies: dict[str, dict[str, Any]] = {}
    for name, key, value in rows:
        attributes = studies.setdefault(name, {})
        if key is not None and value is not None:
            attributes[key] = json.loads(value)
    return studies


def trials_by_id(
    rows: Iterable[tuple[int, int, datetime | None, str | None, str | None]],
) -> dict[int, StoredTrial]:
    """Return the trials of a database, from rows of id, number, beginning (UTC, without a zone), key and JSON."""
    trials: dict[int, StoredTrial] = {}
    for trial_id, number, started, key, value in rows:
        trial = trials.get(trial_id)
        if trial is None:
            started_at = None if started is None else started.replace(tzinfo=UTC)
            trial = trials[trial_id] = StoredTrial(number=number, started_at=started_at, attributes={})
        if key is not None and value is not None:
            trial.attributes[key] = json.loads(value)
    return trials
