"""Longer trainings beside a search: in rounds, through its executor, in the study that `nas proxy fidelity` writes.

They change nothing of what the search proposes. Each is written down before it begins and when it ends, so that a
search that is killed trains none of them twice.
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from nas.candidates import Candidate, Failed, History, Proposal, Record, fingerprint_of
from nas.config import SearchConfig
from nas.evaluation import ShortTrainingEvaluation
from nas.executors.executor import Evaluate, Executor
from nas.executors.shared import SharedExecutor
from nas.failure_policy import FailurePolicies
from nas.fidelity.evaluation import WithLongerTrainings
from nas.fidelity.files import FOLDER, JOURNAL
from nas.fidelity.journal import open_study
from nas.fidelity.plan import FidelityPlan
from nas.fidelity.report import report_of
from nas.fidelity.rounds import Rounds
from nas.fidelity.training import Training, TrainingSpace
from nas.fidelity.words import findings
from nas.flight import Flight
from nas.storage.journal import repaired_journal
from nas.study import Study
from proxies.errors import FidelityError

_POLL_S: Final = 0.5

_REPORT_GROWTH: Final = 1.2
"""A report is written anew once there are so many times the trainings: it resamples candidates, all against all."""


class LongerTrainings:
    """The rounds of one search."""

    def __init__(
        self,
        rounds: Rounds,
        *,
        history: History[Any],
        folder: Path,
        study: Study[Training],
        executor: SharedExecutor[Any],
        failures: FailurePolicies,
        record: Callable[[FidelityPlan, History[Training]], str],
        notice: Callable[[str], None],
        uninterrupted: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Begin what a killed search left under way, and what is due.

        Args:
            rounds: which trials are trained longer, and when.
            history: of the search; read, never written.
            folder: where the plan is kept.
            study: of the trainings, held by this process alone.
            executor: that of the search.
            failures: what follows each kind of failure.
            record: keeps what the trainings of a plan say, and returns it in a sentence; a `FidelityError` of too few
                trainings is said once the search ends.
            notice: is told what the trainings say.
            uninterrupted: context in which an interrupt waits; held while anything is written.
        """
        self._rounds = rounds
        self._history = history
        self._folder = folder
        self._record = record
        self._study = study
        self._space = TrainingSpace(space=history.space)
        self._executor = executor
        self._notice = notice
        self._uninterrupted = uninterrupted
        self._flight: Flight[Training] = Flight(
            study,
            executor.submit_beside,
            failures=failures,
            constraints={},
            expected=lambda *_: None,
            observer=self,
        )
        self._trials: list[int] = []
        self._num_rounds = 0
        self._plan = FidelityPlan.load(folder)
        self._waiting: deque[Training] = deque()
        self._num_reported = 0
        executor.share_with(self)
        for candidate in study.running():
            self._flight.dispatch(candidate)
        with uninterrupted():
            self._begin_due()

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._flight)

    def settle(self) -> None:
        """Write down what ended, and begin what may begin now; an interrupt must wait meanwhile.

        Raises:
            SearchFailedError: several trainings in a row failed in a way that is to end the search.
        """
        records = self._flight.settle(self._executor.take_beside())
        self._begin_due()
        if records and not self._flight and len(self._study.history()) >= _REPORT_GROWTH * self._num_reported:
            self._keep()
        self._flight.stop_if_repeated(records)

    def finish(self, *, tick: Callable[[], None]) -> None:
        """Train what is left once the search has no candidate more, and say what all of it says.

        Raises:
            SearchFailedError: as `settle`.
        """
        while True:
            with self._uninterrupted():
                self.settle()
            if not self._flight:
                break
            self._executor.wait(timeout_s=_POLL_S)
            tick()
        with self._uninterrupted():
            if (error := self._keep()) is not None:
                self._notice(f"No record of fidelity: {error}")

    def started(self, candidate: Candidate[Any]) -> None:
        """Say nothing: the bar counts candidates."""

    def ended(self, record: Record[Any]) -> None:
        """Say it where it failed."""
        if record.failure is not None:
            self._notice(f"{_words(record.genome)} failed ({record.failure.kind}).")

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
        """Say that it begins once more, and why."""
        self._notice(f"{_words(candidate.genome)} begins once more ({failure.kind}).")

    def _begin_due(self) -> None:
        """Plan the rounds that the search has reached, and dispatch while there is room."""
        num_due = self._rounds.num_due(self._history)
        if num_due > self._num_rounds:
            for position in range(self._num_rounds + 1, num_due + 1):
                self._trials += self._rounds.chosen_in(position, self._history, before=self._trials)
            self._num_rounds = num_due
            own = self._rounds.own_plan(self._trials)
            self._plan = own.joined_with(self._plan)
            self._plan.save(self._folder)
            self._waiting = deque(self._not_begun(own))
        while self._waiting and self._executor.has_room_beside:
            training = self._waiting.popleft()
            candidate = Candidate(
                number=self._study.num_trials,
                proposal=Proposal(genome=training, origin="seed"),
                fingerprint=fingerprint_of(self._space, training),
                seed=self._rounds.seed,
            )
            self._study.add(candidate)
            self._flight.dispatch(candidate)

    def _not_begun(self, plan: FidelityPlan) -> list[Training]:
        begun = {candidate.fingerprint for candidate in self._study.running()} | self._study.history().fingerprints
        return [
            training for training in plan.trainings(self._history) if fingerprint_of(self._space, training) not in begun
        ]

    def _keep(self) -> FidelityError | None:
        """Write what the trainings so far say; return why they say nothing yet."""
        is_new = len(self._study.history()) != self._num_reported
        self._num_reported = len(self._study.history())
        if self._plan is None:
            return FidelityError(f"the search finished fewer than {self._rounds.every} candidates.")
        try:
            words = self._record(self._plan, self._study.history())
        except FidelityError as error:
            return error
        if is_new:
            self._notice(words)
        return None


def sole_trainer(config: SearchConfig, path: Path, *, notice: Callable[[str], None]) -> AbstractContextManager[None]:
    """Return a context in which a search that trains longer is the only one to do so for its run.

    Raises:
        RunDirectoryError: on entering, another process does.
        StudyError: the record of longer trainings is damaged.
    """
    if config.proxy.fidelity is None:
        return nullcontext()
    return repaired_journal(path / FOLDER / JOURNAL, notice=notice)


def evaluated_for(config: SearchConfig, evaluation: ShortTrainingEvaluation) -> Evaluate[Any]:
    """Return what evaluates the candidates of a search, and its longer trainings if it has any."""
    return evaluation if config.proxy.fidelity is None else WithLongerTrainings(short=evaluation)


def beside(
    executor: Executor[Any],
    *,
    config: SearchConfig,
    history: History[Any],
    path: Path,
    notice: Callable[[str], None],
    uninterrupted: Callable[[], AbstractContextManager[None]],
) -> tuple[Executor[Any], LongerTrainings | None]:
    """Return the executor as a search sees it, and the longer trainings that share it if it has any.

    Raises:
        StudyError: the plan or the record of longer trainings cannot be read.
    """
    section = config.proxy.fidelity
    if section is None:
        return executor, None
    shared: SharedExecutor[Any] = SharedExecutor(executor)
    rounds = Rounds(every=section.every, candidates=section.candidates, times=section.tokens_multiple, seed=config.seed)

    def record(plan: FidelityPlan, trainings: History[Training]) -> str:
        report = report_of(config, history, plan, trainings)
        report.save(path)
        return findings(report)[0]

    return shared, LongerTrainings(
        rounds,
        history=history,
        folder=path / FOLDER,
        study=open_study(path / FOLDER, space=history.space, notice=notice),
        executor=shared,
        failures=config.failure_policies,
        record=record,
        notice=notice,
        uninterrupted=uninterrupted,
    )


def _words(training: Training) -> str:
    return f"The training of trial {training.trial} for {training.times:g} times as long"
