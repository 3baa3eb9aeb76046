"""A study as readers see it: what it holds when it is opened, and nothing can be written.

A journal is read here line by line, and a database by `storage/postgresql_reading.py`: Optuna would build and copy
objects nobody looks at, and take many times as long. It reads what is not as they know it.
"""

import gc
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from nas.candidates import Candidate, Failed, History, Record
from nas.errors import NoStudyError, StudyError
from nas.storage.url import check_url, is_url
from nas.study_format import (
    CANDIDATE,
    COMPLETE,
    StoredStudy,
    StoredTrial,
    check_study,
    read_description,
    read_json,
    read_trial,
    whole_candidate,
)
from search_spaces import SearchSpace

G = TypeVar("G", bound=Hashable)

# Operations of Optuna's journal that a study of ours has.
_CREATE_STUDY: Final = 0
_SET_STUDY_ATTRIBUTE: Final = 2
_CREATE_TRIAL: Final = 4
_SET_TRIAL_ATTRIBUTE: Final = 8
_OF_NO_INTEREST: Final = {3, 5, 6, 7, 9}
"""Attributes for Optuna's own eyes, parameters, states and values: the attributes we wrote say it all."""

_CREATE_LINE: Final = b'{"op_code":4,'
_DESCRIPTION: Final = b', \\"description\\": '
_NEXT_ATTRIBUTE: Final = b'","'
"""Not in the description itself, where quotation marks have backslashes before them."""

_HEAD: Final = "head of the candidate"
_STATE_LINE: Final = b'{"op_code":6,'


class StudyReader(Generic[G]):
    """All trials of one search, as they were when it was opened."""

    def __init__(self, where: str | Path, *, name: str, space: SearchSpace[G], objectives: Sequence[str]) -> None:
        """Read the study `name`.

        Args:
            where: journal file or URL.
            name: of the study.
            space: reads genomes.
            objectives: names of all objectives, the expensive ones first.

        Raises:
            NoStudyError: there is none.
            StudyError: a newer version made it, it is of other objectives, or the journal is damaged.
            StorageError: the storage cannot be reached.
        """
        self.objectives = tuple(objectives)
        with _without_collecting():
            stored = read_stored(where, name=name)
            if stored is None:
                raise NoStudyError(f"The storage holds no study {name!r} yet: its search has not begun a candidate.")
            check_study(stored.attributes, name=name, objectives=self.objectives)
            self._attributes: Mapping[str, Any] = stored.attributes
            self._running: dict[int, Candidate[G]] = {}
            self._attempts: dict[int, tuple[Failed, ...]] = {}
            records: list[Record[G]] = []
            for trial in stored.trials:
                found = read_trial(trial, space=space)
                self._attempts[trial.number] = found.attempts
                if found.record is None:
                    self._running[trial.number] = found.candidate
                else:
                    records.append(found.record)
            self._history = History(records, objectives=self.objectives, space=space)

    def history(self) -> History[G]:
        """Return every trial that ended, in the order they ended."""
        return self._history

    def running(self) -> list[Candidate[G]]:
        """Return the trials that were started and have not ended, by number."""
        return [self._running[number] for number in sorted(self._running)]

    def attempts(self, number: int) -> tuple[Failed, ...]:
        """Return the failures after which a trial was, or is to be, evaluated once more."""
        return self._attempts[number]

    @property
    def num_trials(self) -> int:
        """Trials started."""
        return len(self._history) + len(self._running)

    def is_complete(self, plan: Mapping[str, int]) -> bool:
        """Whether this very plan was done."""
        return bool(self._attributes.get(COMPLETE) == dict(plan))


def read_stored(where: str | Path, *, name: str) -> StoredStudy | None:
    """Return the study `name` of a journal file or URL, or none where there is no such study.

    Raises:
        StudyError: the journal is damaged.
        StorageError: the storage cannot be reached.
    """
    found = _read_database(str(where), name=name) if is_url(where) else _read_journal(Path(where), name=name)
    if not isinstance(found, _ForOptuna):
        return found
    from nas.storage.open import open_storage
    from nas.study import stored_study

    return stored_study(open_storage(where), name=name)


class _ForOptuna:
    """Said of a journal or a database that only Optuna can read, or say what is wrong with."""


def _read_database(url: str, *, name: str) -> StoredStudy | _ForOptuna | None:
    known = check_url(url)
    try:
        import psycopg

        from nas.storage.postgresql_reading import UnknownTablesError, read_postgresql
    except ImportError:
        return _ForOptuna()
    try:
        return read_postgresql(known, name=name)
    except (UnknownTablesError, psycopg.Error):
        return _ForOptuna()


def _read_journal(path: Path, *, name: str) -> StoredStudy | _ForOptuna | None:
    lines = path.read_bytes().split(b"\n")
    studies: list[str] = []
    found: StoredStudy | None = None
    study_id = -1
    num_trials = 0
    by_id: dict[int, StoredTrial] = {}
    # What follows the last end of line is being written, or was torn by a kill.
    for index, line in enumerate(lines[:-1]):
        if line.startswith(_STATE_LINE):
            continue
        try:
            entry = _without_description(line) or read_json(line)
            operation = entry["op_code"]
        except (ValueError, TypeError, KeyError):
            if index == len(lines) - 2:
                break
            raise StudyError(damaged(path, line=index + 1)) from None
        if operation == _CREATE_TRIAL:
            if entry["study_id"] == study_id and found is not None:
                started = entry["datetime_start"]
                trial = StoredTrial(
                    number=len(found.trials),
                    started_at=None if started is None else datetime.fromisoformat(started),
                    attributes=entry.get("user_attrs", {}),
                    head=entry.get(_HEAD),
                    description=partial(_description, line) if _HEAD in entry else None,
                )
                by_id[num_trials] = trial
                found.trials.append(trial)
            num_trials += 1
        elif operation == _SET_TRIAL_ATTRIBUTE:
            if (owner := by_id.get(entry["trial_id"])) is not None:
                owner.attributes.update(entry["user_attr"])
        elif operation == _CREATE_STUDY:
            if entry["study_name"] == name and name not in studies:
                study_id, found = len(studies), StoredStudy()
            # A name that exists is refused, and gets no number.
            if entry["study_name"] not in studies:
                studies.append(entry["study_name"])
        elif operation == _SET_STUDY_ATTRIBUTE:
            if entry["study_id"] == study_id and found is not None:
                found.attributes.update(entry["user_attr"])
        elif operation not in _OF_NO_INTEREST:
            return _ForOptuna()
    return found


def _without_description(line: bytes) -> dict[str, Any] | None:
    """Return a trial's first entry without its candidate's description, most of the line; none for another line."""
    if not line.startswith(_CREATE_LINE) or (place := line.find(_DESCRIPTION)) < 0 or not line.endswith(b"}"):
        return None
    if line.find(_NEXT_ATTRIBUTE, place) >= 0:
        return None
    try:
        entry: dict[str, Any] = read_json(line[:place] + b'}"}}')
        head = whole_candidate(entry["user_attrs"].pop(CANDIDATE))
    except (ValueError, KeyError):
        return None
    return None if head is None else {**entry, _HEAD: head}


def _description(line: bytes) -> Mapping[str, Any]:
    return read_description(read_json(line)["user_attrs"][CANDIDATE])


def damaged(path: Path, *, line: int) -> str:
    """Return the words about a journal with a line in its middle that is none."""
    return (
        f"Line {line} of {path} is not a journal record, and lines after it are. The file was changed by "
        "something else; restore it from a copy."
    )


@contextmanager
def _without_collecting() -> Iterator[None]:
    # Half a million new objects, none of them garbage.
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
