"""The durable record of a search: the one adapter to Optuna's storage.

A trial is written RUNNING, with its candidate, before it is dispatched; its result is written before it is told. So a
kill at any moment leaves a trial that is either to be run again or only to be told, never one whose result is lost.
"""

import json
import logging
import math
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast

import optuna
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.candidates import Candidate, Evaluated, Failed, FailureKind, History, Outcome, Record, Status, Stopped
from nas.errors import NoStudyError, StudyError
from nas.storage.patience import PatientStorage
from nas.study_format import (
    ATTEMPTS,
    CANDIDATE,
    COMPLETE,
    OBJECTIVES,
    RESULT,
    SCHEMA,
    SCHEMA_VERSION,
    StoredStudy,
    StoredTrial,
    attempts_text,
    candidate_text,
    check_study,
    read_trial,
)
from search_spaces import Architecture, SearchSpace
from search_spaces.errors import near_miss

G = TypeVar("G", bound=Hashable)

_METRIC_NAMES = "study:metric_names"  # where Optuna and its dashboard look for them


def recorded_objectives(storage: BaseStorage, *, name: str = "search") -> tuple[str, ...] | None:
    """Return what the study `name` minimises, or none where there is no such study."""
    if name not in {study.study_name for study in storage.get_all_studies()}:
        return None
    found = storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get(OBJECTIVES)
    return None if found is None else tuple(found)


def stored_study(storage: BaseStorage, *, name: str) -> StoredStudy | None:
    """Return the study `name` as it lies in a storage, or none where there is no such study."""
    if name not in {study.study_name for study in storage.get_all_studies()}:
        return None
    study_id = storage.get_study_id_from_name(name)
    return StoredStudy(
        attributes=storage.get_study_user_attrs(study_id),
        trials=[_stored(trial) for trial in storage.get_all_trials(study_id, deepcopy=False)],
    )


class Study(Generic[G]):
    """All trials of one search, each written once before it starts and once when it ends."""

    def __init__(
        self,
        *,
        space: SearchSpace[G],
        objectives: Sequence[str],
        storage: BaseStorage | None = None,
        name: str = "search",
        read_only: bool = False,
    ) -> None:
        """Open the study `name`, or create it.

        Args:
            space: reads and writes genomes.
            objectives: names of all objectives, the expensive ones first.
            storage: any Optuna storage; in memory by default.
            name: several studies may live in one storage.
            read_only: write nothing, and so refuse a study that does not exist yet.

        Raises:
            StudyError: the study was made by a newer version, or for other objectives.
            NoStudyError: there is none, and none may be created.
            StudyInUseError: another driver writes it; `close` lets the next one.
        """
        optuna.logging.set_verbosity(logging.WARNING)  # it would announce every study on standard error
        self._space = space
        self._storage = InMemoryStorage() if storage is None else storage
        if isinstance(self._storage, PatientStorage) and not read_only:
            self._storage.claim(name)
        self.objectives = tuple(objectives)
        self._id = self._open(name, read_only=read_only)
        self._trial_ids: dict[int, int] = {}
        self._records: dict[int, Record[G]] = {}
        self._running: dict[int, Candidate[G]] = {}
        self._attempts: dict[int, tuple[Failed, ...]] = {}
        self._untold: list[FrozenTrial] = []
        for trial in self._storage.get_all_trials(self._id, deepcopy=False):
            self._read(trial)
        self._history = History(self._records.values(), objectives=self.objectives, space=space)

    def _open(self, name: str, *, read_only: bool) -> int:
        names = {study.study_name for study in self._storage.get_all_studies()}
        if name not in names and read_only:
            raise NoStudyError(f"The storage holds no study {name!r} yet: its search has not begun a candidate.")
        if name not in names:
            study_id = self._storage.create_new_study([StudyDirection.MINIMIZE] * len(self.objectives), name)
            self._storage.set_study_system_attr(study_id, _METRIC_NAMES, list(self.objectives))
            self._storage.set_study_user_attr(study_id, OBJECTIVES, list(self.objectives))
            # Last, so that a study without a version was never used.
            self._storage.set_study_user_attr(study_id, SCHEMA, SCHEMA_VERSION)
            return study_id
        study_id = self._storage.get_study_id_from_name(name)
        attributes = self._storage.get_study_user_attrs(study_id)
        check_study(attributes, name=name, objectives=self.objectives)
        if SCHEMA not in attributes and not read_only:
            self._storage.set_study_system_attr(study_id, _METRIC_NAMES, list(self.objectives))
            self._storage.set_study_user_attr(study_id, OBJECTIVES, list(self.objectives))
            self._storage.set_study_user_attr(study_id, SCHEMA, SCHEMA_VERSION)
        return study_id

    def add(self, candidate: Candidate[G]) -> None:
        """Write a candidate as a running trial. Call before it is dispatched."""
        if candidate.number != self.num_trials:
            raise StudyError(f"Trial {self.num_trials} comes next; got number {candidate.number}.")
        parameters = _summary_parameters(self._space.decode(candidate.genome))
        template = create_trial(
            state=TrialState.RUNNING,
            params=parameters,
            distributions={name: IntDistribution(0, 1 << 20) for name in parameters},
            user_attrs={CANDIDATE: candidate_text(candidate, space=self._space)},
        )
        template.datetime_start = datetime.now()
        self._trial_ids[candidate.number] = self._storage.create_new_trial(self._id, template_trial=template)
        self._running[candidate.number] = candidate

    def attempts(self, number: int) -> tuple[Failed, ...]:
        """Return the failures after which a trial was, or is to be, evaluated once more."""
        ended = self._records.get(number)
        return self._attempts.get(number, ()) if ended is None else ended.attempts

    def retry(self, number: int, failure: Failed) -> None:
        """Write that a running trial failed and is to be evaluated once more."""
        attempts = (*self.attempts(number), failure)
        self._storage.set_trial_user_attr(self._trial_ids[number], ATTEMPTS, attempts_text(attempts))
        self._attempts[number] = attempts

    def finish(
        self,
        number: int,
        outcome: Outcome,
        *,
        constraints: Mapping[str, float] | None = None,
        penalised: Collection[FailureKind] = (),
        expected: float | None = None,
    ) -> Record[G]:
        """Write how a running trial ended and return its record.

        Args:
            number: the trial.
            outcome: expensive objectives or a failure.
            constraints: upper bounds by objective name; a trial above one is infeasible.
            penalised: kinds of failure that models are to learn from.
            expected: what the first objective would have become, where the evaluation was stopped.
        """
        candidate = self._running[number]
        objectives = dict(candidate.cheap)
        failure, details = (outcome, {}) if isinstance(outcome, Failed) else (None, dict(outcome.details))
        if isinstance(outcome, Evaluated):
            objectives |= {name: float(value) for name, value in outcome.objectives.items()}
            failure = _incomplete(objectives, self.objectives)
        bounds = {name: bound for name, bound in (constraints or {}).items() if name not in candidate.cheap}
        above = [name for name, bound in (constraints or {}).items() if objectives.get(name, 0.0) > bound]
        status: Status = "failed" if failure else "infeasible" if above else "finished"
        if isinstance(outcome, Stopped):
            status = "stopped"
        result = {
            "finish_index": len(self._records),
            "status": status,
            "objectives": {name: value for name, value in objectives.items() if math.isfinite(value)},
            "failure": None if failure is None else {"kind": failure.kind, "message": failure.message},
            **({} if expected is None else {"expected": expected}),
            **({"bounds": bounds} if bounds else {}),
            "is_penalised": failure is not None and failure.kind in penalised,
            "details": details,
            "finished_at": datetime.now(UTC).isoformat(),
        }
        trial_id = self._trial_ids[number]
        self._storage.set_trial_user_attr(trial_id, RESULT, json.dumps(result))
        self._tell(trial_id, result)
        self._read(self._storage.get_trial(trial_id))
        self._history.append(self._records[number])
        return self._records[number]

    def history(self) -> History[G]:
        """Return every trial that ended, in the order they ended; it grows with the study."""
        return self._history

    def running(self) -> list[Candidate[G]]:
        """Return the trials that were started and have not ended, by number."""
        return [self._running[number] for number in sorted(self._running)]

    @property
    def num_trials(self) -> int:
        """Trials started so far."""
        return len(self._records) + len(self._running)

    def tell_written_results(self) -> None:
        """Tell the trials whose result was written just before a kill. Only the one writer may."""
        for trial in self._untold:
            self._tell(trial._trial_id, json.loads(trial.user_attrs[RESULT]))
        self._untold.clear()

    def close(self) -> None:
        """Let another driver write; what was read stays."""
        if isinstance(self._storage, PatientStorage):
            self._storage.release()

    def mark_complete(self, plan: Mapping[str, int]) -> None:
        """Record that `plan` (evaluations and repeats asked for) was done, as far as there was anything to do."""
        self._storage.set_study_user_attr(self._id, COMPLETE, dict(plan))

    def is_complete(self, plan: Mapping[str, int]) -> bool:
        """Whether `mark_complete` was called for this very plan."""
        return bool(self._storage.get_study_user_attrs(self._id).get(COMPLETE) == dict(plan))

    def _tell(self, trial_id: int, result: Mapping[str, Any]) -> None:
        if result["status"] == "failed":
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
            return
        if result["status"] == "stopped":
            self._storage.set_trial_state_values(trial_id, TrialState.PRUNED)
            return
        values = [result["objectives"][name] for name in self.objectives]
        self._storage.set_trial_state_values(trial_id, TrialState.COMPLETE, values)

    def _read(self, trial: FrozenTrial) -> None:
        number = trial.number
        self._trial_ids[number] = trial._trial_id
        found = read_trial(_stored(trial), space=self._space)
        if found.record is None:
            self._running[number] = found.candidate
            self._attempts[number] = found.attempts
            return
        self._running.pop(number, None)
        self._attempts.pop(number, None)
        self._records[number] = found.record
        if not trial.state.is_finished():
            self._untold.append(trial)


def _stored(trial: FrozenTrial) -> StoredTrial:
    return StoredTrial(number=trial.number, started_at=trial.datetime_start, attributes=trial.user_attrs)


def _incomplete(objectives: Mapping[str, float], names: Sequence[str]) -> Failed | None:
    missing = [name for name in names if name not in objectives]
    if missing:
        hint = near_miss(missing[0], objectives) if objectives else ""
        return Failed("bug", f"The evaluation returned no {', '.join(missing)}.{hint}")
    bad = [f"{name}={objectives[name]}" for name in names if not math.isfinite(objectives[name])]
    return Failed("diverged", f"Not a finite number: {', '.join(bad)}.") if bad else None


def _summary_parameters(decoded: object) -> dict[str, int]:
    # Seen as columns by optuna-dashboard; nothing of ours reads them.
    if not isinstance(decoded, Architecture):
        return {}
    counts = Counter(spec.kind for spec in decoded.operators)
    return {"hidden_size": decoded.hidden_size, "depth": decoded.depth} | {
        f"num_{kind}": counts[cast(Any, kind)] for kind in sorted(counts)
    }
