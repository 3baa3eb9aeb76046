"""Candidates under evaluation: written down as running, dispatched, tried again where that may help, written as ended.

What is proposed, and when, is not here.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from nas.candidates import Candidate, Failed, FailureKind, Outcome, Record
from nas.errors import SearchFailedError
from nas.failure_policy import FailurePolicies, penalised_kinds
from nas.study import Study

G = TypeVar("G", bound=Hashable)


class FlightObserver(Protocol):
    """Is told what happens to candidates."""

    def started(self, candidate: Candidate[Any]) -> None:
        """A candidate was dispatched."""

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
        """The evaluation of a candidate failed and begins once more."""

    def ended(self, record: Record[Any]) -> None:
        """A trial ended and is on record."""


class Flight(Generic[G]):
    """What is between a study and an executor."""

    def __init__(
        self,
        study: Study[G],
        submit: Callable[[Candidate[G]], None],
        *,
        failures: FailurePolicies,
        constraints: Mapping[str, float],
        expected: Callable[[Candidate[G], Outcome], float | None],
        observer: FlightObserver,
    ) -> None:
        """Begin with nothing under evaluation.

        Args:
            study: the record.
            submit: starts the evaluation of a candidate.
            failures: what follows each kind of failure.
            constraints: upper bounds by objective.
            expected: what the first objective of a stopped evaluation would have become.
            observer: is told of every start and end.
        """
        self._study = study
        self._submit = submit
        self._failures = failures
        self._penalised = penalised_kinds(failures)
        self._constraints = constraints
        self._expected = expected
        self._observer = observer
        self._candidates: dict[int, Candidate[G]] = {}
        self._failed_in_a_row: Counter[FailureKind] = Counter()

    def __len__(self) -> int:
        """How many are under evaluation."""
        return len(self._candidates)

    def dispatch(self, candidate: Candidate[G]) -> None:
        """Start the evaluation of a candidate that the study holds as running."""
        self._candidates[candidate.number] = candidate
        self._submit(candidate)
        self._observer.started(candidate)

    def settle(self, outcomes: Iterable[tuple[int, Outcome]]) -> list[Record[G]]:
        """Write down what came of candidates, or begin them once more; return those that ended."""
        settled = [self._settle(number, outcome) for number, outcome in outcomes]
        return [record for record in settled if record is not None]

    def _settle(self, number: int, outcome: Outcome) -> Record[G] | None:
        candidate = self._candidates.pop(number)
        if isinstance(outcome, Failed) and len(self._study.attempts(number)) < self._failures[outcome.kind].retries:
            self._study.retry(number, outcome)
            self._observer.retried(candidate, outcome)
            self.dispatch(candidate)
            return None
        record = self._study.finish(
            number,
            outcome,
            constraints=self._constraints,
            penalised=self._penalised,
            expected=self._expected(candidate, outcome),
        )
        self._observer.ended(record)
        return record

    def stop_if_repeated(self, records: Iterable[Record[Any]]) -> None:
        """Count failures of one kind in a row.

        Raises:
            SearchFailedError: there are as many as end the search.
        """
        for record in records:
            self._count(record)

    def _count(self, record: Record[Any]) -> None:
        in_a_row = self._failed_in_a_row
        kind = None if record.failure is None else record.failure.kind
        for other in [other for other in in_a_row if other != kind]:
            del in_a_row[other]
        if record.failure is None or kind is None:
            return
        in_a_row[kind] += 1
        most = self._failures[kind].stop_after
        if most is not None and in_a_row[kind] >= most:
            raise SearchFailedError(
                f"{in_a_row[kind]} candidates in a row failed ({kind}), the last with: "
                f"{record.failure.message} Nothing that finished is lost; mend the cause and resume."
            )
