"""A study as readers see it: what it holds when it is opened, and what is new when they ask; nothing can be written.

How it lies in a journal or a database is known to `storage/`; this makes the history of it.
"""

import gc
import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from nas.candidates import Candidate, Failed, History, Record
from nas.errors import NoStudyError, StudyError
from nas.sound_trial import check_sound
from nas.storage.any_reading import AnyReading
from nas.storage.reading import News
from nas.study_format import COMPLETE, StoredTrial, check_study, read_trial
from search_spaces import SearchSpace

G = TypeVar("G", bound=Hashable)

_AT_ONCE: Final = 100
"""More new records than this, and a history made anew costs less than one that is added to."""

_GARBLED: Final = (StudyError, ValueError, TypeError, KeyError, AttributeError, LookupError, OverflowError)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenTrial:
    """A trial whose entry cannot be read."""

    number: int
    words: str
    started_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """How a trial began that has not ended."""

    started_at: datetime | None
    num_attempts: int


class StudyReader(Generic[G]):
    """All trials of one search, as they were when it was opened or last refreshed."""

    def __init__(
        self,
        where: str | Path,
        *,
        name: str,
        space: SearchSpace[G],
        objectives: Sequence[str],
        broken_trials: Literal["refused", "kept"] = "refused",
    ) -> None:
        """Read the study `name`.

        Args:
            where: journal file or URL.
            name: of the study.
            space: reads genomes.
            objectives: names of all objectives, the expensive ones first.
            broken_trials: what becomes of those that cannot be read: an error, or entries of `broken`.

        Raises:
            FileNotFoundError: there is no such journal.
            NoStudyError: there is no such study.
            StudyError: a newer version made it, it is of other objectives, or the journal is damaged.
            StorageError: the storage cannot be reached.
        """
        self.objectives = tuple(objectives)
        self._where = where
        self._name = name
        self._space = space
        self._keeps_broken = broken_trials == "kept"
        self._reading = AnyReading(where, name=name)
        self._begin_anew()
        self.refresh()

    def _begin_anew(self) -> None:
        self._attributes: Mapping[str, Any] = {}
        self._running: dict[int, Candidate[G]] = {}
        self._attempts: dict[int, tuple[Failed, ...]] = {}
        self._started_at: dict[int, datetime | None] = {}
        self._broken: dict[int, BrokenTrial] = {}
        self._history: History[G] = History(objectives=self.objectives, space=self._space)

    def revision(self) -> object:
        """Return something cheap whose `repr` changes when the study may have.

        Raises:
            StorageError: the storage cannot be reached.
        """
        return self._reading.revision()

    def refresh(self) -> None:
        """Take in what was written since.

        Raises:
            FileNotFoundError: the journal is gone.
            NoStudyError: the study is gone.
            StudyError: a newer version goes on with it, or it is damaged.
            StorageError: the storage cannot be reached.
        """
        try:
            with _without_collecting():
                self._take_in(self._reading.news())
        except BaseException:
            # News are told once: what was not taken in is to be told again.
            self._reading = AnyReading(self._where, name=self._name)
            raise

    def _take_in(self, news: News | None) -> None:
        if news is None:
            raise NoStudyError(f"The storage holds no study {self._name!r} yet: its search has not begun a candidate.")
        check_study(news.attributes, name=self._name, objectives=self.objectives)
        if news.is_anew:
            self._begin_anew()
        self._attributes = dict(news.attributes)
        self._add([record for trial in news.trials if (record := self._take(trial)) is not None])

    def _take(self, trial: StoredTrial) -> Record[G] | None:
        number = trial.number
        try:
            found = read_trial(trial, space=self._space)
            if self._keeps_broken:
                check_sound(found, objectives=self.objectives)
        except _GARBLED as error:
            if isinstance(error, StudyError) and not self._keeps_broken:
                raise
            if not self._keeps_broken:
                raise StudyError(
                    f"Trial {number} of the study {self._name!r} cannot be read ({type(error).__name__}: {error}). "
                    "Something else changed its entry; restore the study from a copy. `nas dashboard` shows the rest."
                ) from error
            self._break(trial, error)
            return None
        self._broken.pop(number, None)
        self._attempts[number] = found.attempts
        self._started_at[number] = trial.started_at
        if found.record is None:
            self._running[number] = found.candidate
        else:
            self._running.pop(number, None)
        return found.record

    def _break(self, trial: StoredTrial, error: Exception) -> None:
        if trial.number not in self._broken:
            logging.getLogger("hybridnas").warning("Trial %d cannot be read: %s", trial.number, error)
        self._running.pop(trial.number, None)
        self._broken[trial.number] = BrokenTrial(
            number=trial.number,
            words=f"Its entry in the study cannot be read: {type(error).__name__}: {error}",
            started_at=_in_utc(trial.started_at),
        )

    def _add(self, ended: list[Record[G]]) -> None:
        ended.sort(key=lambda record: record.finish_index)
        new = {record.number for record in ended}
        before = self._history
        is_later = not before or not ended or ended[0].finish_index > before[-1].finish_index
        if is_later and len(ended) <= _AT_ONCE:
            for record in ended:
                before.append(record)
            return
        kept = [record for record in before if record.number not in new]
        self._history = History([*kept, *ended], objectives=self.objectives, space=self._space)

    def history(self) -> History[G]:
        """Return every trial that ended, in the order they ended."""
        return self._history

    def running(self) -> list[Candidate[G]]:
        """Return the trials that were started and have not ended, by number."""
        return [self._running[number] for number in sorted(self._running)]

    def begun(self) -> dict[int, Begun]:
        """Return how the trials that have not ended began, by number."""
        return {
            number: Begun(started_at=_in_utc(self._started_at[number]), num_attempts=1 + len(self._attempts[number]))
            for number in sorted(self._running)
        }

    def broken(self) -> list[BrokenTrial]:
        """Return the trials that cannot be read, by number."""
        return [self._broken[number] for number in sorted(self._broken)]

    def attempts(self, number: int) -> tuple[Failed, ...]:
        """Return the failures after which a trial was, or is to be, evaluated once more."""
        return self._attempts[number]

    @property
    def num_trials(self) -> int:
        """Trials started."""
        return len(self._history) + len(self._running) + len(self._broken)

    @property
    def completed_plan(self) -> Mapping[str, int] | None:
        """The plan that was done; none where the search has not come to its end."""
        plan: Mapping[str, int] | None = self._attributes.get(COMPLETE)
        return plan

    def is_complete(self, plan: Mapping[str, int]) -> bool:
        """Whether this very plan was done."""
        return self.completed_plan == dict(plan)

    @property
    def is_written(self) -> bool:
        """Whether a search is known to write it now.

        Raises:
            StorageError: the storage cannot be reached.
        """
        return self._reading.is_written


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


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
