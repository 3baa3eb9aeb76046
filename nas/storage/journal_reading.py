"""A study read from a journal file, line by line; a file that has grown is read from where it was read to.

Optuna would build and copy objects nobody looks at, and take many times as long. What is not as it is known here, it
reads: `ForOptunaError` says so.
"""

import os
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from nas.errors import StudyError
from nas.file_lock import FileLock
from nas.run_directory import LOCK_NAME
from nas.storage.reading import News, StudyReading, file_mark
from nas.study_format import (
    CANDIDATE,
    StoredStudy,
    StoredTrial,
    read_description,
    read_json,
    whole_candidate,
)

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

_KNOWN_AGAIN_BY: Final = 256
"""Bytes before the place read to, by which a file is known to be the one that was read: an inode may be used again."""


class ForOptunaError(Exception):
    """Said of what only Optuna can read."""


class JournalReading(StudyReading):
    """One study of a journal file."""

    def __init__(self, path: Path, *, name: str) -> None:
        """Read the study `name` of the file `path`; nothing is read yet."""
        self._path = path
        self._name = name
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._inode = -1
        self._offset = 0
        self._last_read = b""
        self._num_lines = 0
        self._study_names: list[str] = []
        self._study_id = -1
        self._study: StoredStudy | None = None
        self._num_trials = 0
        self._by_id: dict[int, StoredTrial] = {}

    @property
    def is_written(self) -> bool:
        """Whether the lock beside the file, or that of a run directory around it, is held."""
        beside = (self._path.with_name(f"{self._path.name}.writer"), self._path.with_name(LOCK_NAME))
        return any(FileLock(lock, holds=self._path).is_held for lock in beside)

    def revision(self) -> object:
        """Return the file's mark; none where there is no file."""
        return file_mark(self._path)

    def news(self) -> News | None:
        """Return what was written since the last call.

        Raises:
            FileNotFoundError: there is no such file.
            StudyError: it is damaged in its middle.
            ForOptunaError: it holds what no search of ours writes.
        """
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            file.seek(self._offset - len(self._last_read))
            is_anew = found.st_ino != self._inode or file.read(len(self._last_read)) != self._last_read
            if is_anew:
                # Another file of that name, or other content in it: one that was repaired, or a run that began again.
                self._begin_anew()
                self._inode = found.st_ino
            file.seek(self._offset)
            lines = file.read().split(b"\n")
        changed: dict[int, StoredTrial] = {}
        try:
            self._read(lines, changed)
        except BaseException:
            # What was half taken in would be lost to the next call.
            self._begin_anew()
            raise
        if self._study is None:
            return None
        return News(attributes=self._study.attributes, trials=list(changed.values()), is_anew=is_anew)

    def _read(self, lines: list[bytes], changed: dict[int, StoredTrial]) -> None:
        # What follows the last end of line is being written, or was torn by a kill.
        for index, line in enumerate(lines[:-1]):
            if not line.startswith(_STATE_LINE):
                try:
                    entry = _without_description(line) or read_json(line)
                    operation = entry["op_code"]
                except (ValueError, TypeError, KeyError):
                    if index == len(lines) - 2:
                        return
                    raise StudyError(damaged(self._path, line=self._num_lines + 1)) from None
                try:
                    self._take(operation, entry, line, changed)
                except (TypeError, KeyError, AttributeError, ValueError):
                    raise StudyError(damaged(self._path, line=self._num_lines + 1)) from None
            self._offset += len(line) + 1
            self._last_read = line[-_KNOWN_AGAIN_BY:] + b"\n"
            self._num_lines += 1

    def _take(self, operation: int, entry: dict[str, Any], line: bytes, changed: dict[int, StoredTrial]) -> None:
        if operation == _CREATE_TRIAL:
            self._create_trial(entry, line, changed)
        elif operation == _SET_TRIAL_ATTRIBUTE:
            if (owner := self._by_id.get(entry["trial_id"])) is not None:
                owner.attributes.update(entry["user_attr"])
                changed[owner.number] = owner
        elif operation == _CREATE_STUDY:
            name = entry["study_name"]
            # A name that exists is refused, and gets no number.
            if name not in self._study_names:
                if name == self._name:
                    self._study_id, self._study = len(self._study_names), StoredStudy()
                self._study_names.append(name)
        elif operation == _SET_STUDY_ATTRIBUTE:
            if entry["study_id"] == self._study_id and self._study is not None:
                self._study.attributes.update(entry["user_attr"])
        elif operation not in _OF_NO_INTEREST:
            raise ForOptunaError

    def _create_trial(self, entry: dict[str, Any], line: bytes, changed: dict[int, StoredTrial]) -> None:
        if entry["study_id"] == self._study_id and self._study is not None:
            trial = StoredTrial(
                number=len(self._study.trials),
                started_at=_moment(entry.get("datetime_start")),
                attributes=entry.get("user_attrs", {}),
                head=entry.get(_HEAD),
                description=partial(_description, line) if _HEAD in entry else None,
            )
            self._by_id[self._num_trials] = trial
            self._study.trials.append(trial)
            changed[trial.number] = trial
        self._num_trials += 1


def journal_studies(path: Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of every study of a journal file, by name.

    Raises:
        FileNotFoundError: there is no such file.
    """
    names: list[str] = []
    attributes: dict[str, dict[str, Any]] = {}
    with path.open("rb") as file:
        for line in file:
            if not line.startswith((b'{"op_code":0,', b'{"op_code":2,')) or not line.endswith(b"\n"):
                continue
            try:
                entry = read_json(line)
            except ValueError:
                continue  # a torn line; whoever reads the study says so
            if entry["op_code"] == _CREATE_STUDY and entry["study_name"] not in names:
                names.append(entry["study_name"])
                attributes[entry["study_name"]] = {}
            elif entry["op_code"] == _SET_STUDY_ATTRIBUTE:
                attributes[names[entry["study_id"]]].update(entry["user_attr"])
    return attributes


def damaged(path: Path, *, line: int) -> str:
    """Return the words about a journal with a line in its middle that is none."""
    return (
        f"Line {line} of {path} is not a journal record, and lines after it are. The file was changed by "
        "something else; restore it from a copy."
    )


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


def _moment(text: object) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(str(text))
    except ValueError:
        return None  # of no consequence but that it cannot be shown


def _description(line: bytes) -> Any:
    return read_description(read_json(line)["user_attrs"][CANDIDATE])
