"""A storage that may go away and come back: every call is made until it succeeds, and has its effect once.

A call whose answer was lost may have been done: what is made again first looks for what it made. Which errors mean that
a storage is gone is the caller's to say. The first notice comes when waiting begins, the second when it is over.
"""

import time
import weakref
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.errors import StorageError

T = TypeVar("T")

PATIENCE_S: Final = 600.0

_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 15.0


class Lock(Protocol):
    """Keeps other writers out."""

    def acquire(self) -> None:
        """Take it, or raise."""

    def check(self) -> None:
        """Make sure that it is still held."""

    def release(self) -> None:
        """Give it back."""


class PatientStorage(BaseStorage):
    """Any Optuna storage, waited for."""

    def __init__(
        self,
        inner: BaseStorage,
        *,
        where: str,
        is_gone: Callable[[Exception], bool],
        patience_s: float,
        notice: Callable[[str], None],
        lock_of: Callable[[str], Lock] | None = None,
    ) -> None:
        """Wrap a storage.

        Args:
            inner: the storage.
            where: names it in words.
            is_gone: whether an error goes away by waiting.
            patience_s: the longest wait, in seconds.
            notice: is told when waiting begins and when it is over.
            lock_of: makes the lock of a study by its name; none where something else keeps other writers out.
        """
        self._inner = inner
        self._where = where
        self._is_gone = is_gone
        self._patience_s = patience_s
        self._notice = notice
        self._lock_of = lock_of
        self._locks: dict[str, Lock] = {}
        weakref.finalize(self, _release, self._locks)

    def claim(self, name: str) -> None:
        """Become the one writer of a study, until `release`.

        Raises:
            StudyInUseError: another driver is.
        """
        if self._lock_of is not None and name not in self._locks:
            lock = self._lock_of(name)
            self._patiently(lock.acquire)
            self._locks[name] = lock

    def release(self) -> None:
        """Let others write."""
        _release(self._locks)

    def _patiently(self, call: Callable[[], T], *, again: Callable[[], T] | None = None) -> T:
        """Make a call until it succeeds.

        Args:
            call: the call.
            again: made instead once the call has failed; looks first whether it was done.

        Raises:
            StorageError: the patience is over.
        """
        began: float | None = None
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                result = call()
            except Exception as error:
                if not self._is_gone(error):
                    raise
                now = time.monotonic()
                if began is None:
                    began = now
                    self._notice(
                        f"The storage {self._where} is gone: {_first_line(error)}. Waiting up to "
                        f"{self._patience_s:g} s for it; evaluations go on."
                    )
                left_s = began + self._patience_s - now
                if left_s <= 0:
                    raise StorageError(
                        f"The storage {self._where} must come back within {self._patience_s:g} s; it did not: "
                        f"{_first_line(error)}. Nothing that finished is lost; mend it and resume."
                    ) from error
                time.sleep(min(pause_s, left_s))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                call = again or call
            else:
                if began is not None:
                    self._notice(f"The storage {self._where} is back after {time.monotonic() - began:.0f} s.")
                return result

    def _write(self, call: Callable[[], T], *, again: Callable[[], T] | None = None) -> T:
        def locked(made: Callable[[], T]) -> Callable[[], T]:
            def checked() -> T:
                for lock in self._locks.values():
                    lock.check()
                return made()

            return checked

        return self._patiently(locked(call), again=None if again is None else locked(again))

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        """Create a study."""

        def again() -> int:
            try:
                return self._inner.create_new_study(directions, study_name)
            except DuplicatedStudyError:
                if study_name is None:
                    raise
                return self._inner.get_study_id_from_name(study_name)

        return self._write(lambda: self._inner.create_new_study(directions, study_name), again=again)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Create a trial, once."""
        template = template_trial or create_trial(state=TrialState.RUNNING)
        if template.datetime_start is None:
            template.datetime_start = datetime.now()

        def again() -> int:
            # The time of its start, to the microsecond, and its attributes name what one driver wrote.
            for trial in reversed(self._inner.get_all_trials(study_id, deepcopy=False)):
                if trial.datetime_start == template.datetime_start and trial.user_attrs == template.user_attrs:
                    return trial._trial_id
            return self._inner.create_new_trial(study_id, template)

        return self._write(lambda: self._inner.create_new_trial(study_id, template), again=again)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set how a trial ended."""

        def again() -> bool:
            try:
                return self._inner.set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                trial = self._inner.get_trial(trial_id)
                if trial.state == state and (values is None or list(trial.values or ()) == list(values)):
                    return True
                raise

        return self._write(lambda: self._inner.set_trial_state_values(trial_id, state, values), again=again)

    def delete_study(self, study_id: int) -> None:
        """Delete a study."""
        self._write(lambda: self._inner.delete_study(study_id))

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of a study."""
        self._write(lambda: self._inner.set_study_user_attr(study_id, key, value))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set an attribute of a study that Optuna reads."""
        self._write(lambda: self._inner.set_study_system_attr(study_id, key, value))

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Set a parameter of a trial."""
        self._write(lambda: self._inner.set_trial_param(trial_id, param_name, param_value_internal, distribution))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Set a value on the way."""
        self._write(lambda: self._inner.set_trial_intermediate_value(trial_id, step, intermediate_value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial."""
        self._write(lambda: self._inner.set_trial_user_attr(trial_id, key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set an attribute of a trial that Optuna reads."""
        self._write(lambda: self._inner.set_trial_system_attr(trial_id, key, value))

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a study."""
        return self._patiently(lambda: self._inner.get_study_id_from_name(study_name))

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of a study."""
        return self._patiently(lambda: self._inner.get_study_name_from_id(study_id))

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return which way each objective is better."""
        return self._patiently(lambda: self._inner.get_study_directions(study_id))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes of a study."""
        return self._patiently(lambda: self._inner.get_study_user_attrs(study_id))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes of a study that Optuna reads."""
        return self._patiently(lambda: self._inner.get_study_system_attrs(study_id))

    def get_all_studies(self) -> list[Any]:
        """Return every study."""
        return self._patiently(self._inner.get_all_studies)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Return the id of a trial."""
        return self._patiently(lambda: self._inner.get_trial_id_from_study_id_trial_number(study_id, trial_number))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial."""
        return self._patiently(lambda: self._inner.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of a study."""
        return self._patiently(lambda: self._inner.get_all_trials(study_id, deepcopy=deepcopy, states=states))

    def remove_session(self) -> None:
        """Close what this thread holds open."""
        self._inner.remove_session()


def _release(locks: dict[str, Lock]) -> None:
    for lock in locks.values():
        lock.release()
    locks.clear()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
