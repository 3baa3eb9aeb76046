"""The first candidates of a search whose expensive objectives nobody has named: the first that evaluates names them.

Only until then; the search itself goes on in `engine.py`, and nothing begun here is evaluated again.
"""

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Generic, TypeVar

from nas.candidates import Candidate, Evaluated, Failed, Outcome
from nas.engine import run
from nas.evolution.strategy import Problem, Strategy
from nas.executors.executor import Executor
from nas.failure_policy import DEFAULT_POLICIES, FailurePolicies, penalised_kinds
from nas.study import Study

G = TypeVar("G", bound=Hashable)

UNNAMED = ("unnamed",)
"""In the place of the expensive objectives until they have names."""


class _NamedError(Exception):
    """The objectives have names now."""


class Opening(Executor[G], Generic[G]):
    """Passes evaluations on to an executor, and remembers them."""

    def __init__(self, executor: Executor[G]) -> None:
        self.expensive: tuple[str, ...] | None = None
        """What a candidate has named the expensive objectives, once one has."""

        self._executor = executor
        self._begun: dict[int, Candidate[G]] = {}
        self._in_flight: set[int] = set()
        self._unwritten: Study[G] | None = None
        self._outcomes: dict[int, Outcome] = {}

    @property
    def capacity(self) -> int:
        """The executor's."""
        return self._executor.capacity

    def run(
        self,
        problem: Problem[G],
        make_strategy: Callable[[Problem[G]], Strategy[G]],
        *,
        num_evaluations: int,
        seed: int,
        failures: FailurePolicies = DEFAULT_POLICIES,
    ) -> Study[G]:
        """Evaluate until a candidate has named the objectives; return the failures, in memory."""
        problem = replace(problem, expensive=UNNAMED)
        study = self._unwritten = Study(space=problem.space, objectives=problem.objectives)
        with suppress(_NamedError):
            run(
                problem,
                make_strategy(problem),
                study=study,
                executor=self,
                num_evaluations=num_evaluations,
                seed=seed,
                failures=failures,
            )
        return study

    def write(self, study: Study[G], *, constraints: Mapping[str, float], failures: FailurePolicies) -> None:
        """Write down what was begun and what came of it."""
        penalised = penalised_kinds(failures)
        ended = set() if self._unwritten is None else {record.number for record in self._unwritten.history()}
        for number, candidate in self._begun.items():
            study.add(candidate)
            for failure in () if self._unwritten is None else self._unwritten.attempts(number):
                study.retry(number, failure)
        for number, outcome in self._outcomes.items():
            # One that the search has not seen yet, and after which it tries again, is begun once more.
            is_retried = (
                number not in ended
                and isinstance(outcome, Failed)
                and len(study.attempts(number)) < failures[outcome.kind].retries
            )
            if not is_retried:
                study.finish(number, outcome, constraints=constraints, penalised=penalised)

    def submit(self, candidate: Candidate[G]) -> None:
        """Start the evaluation of a candidate, unless it is running."""
        if candidate.number not in self._in_flight:
            self._begun[candidate.number] = candidate
            self._outcomes.pop(candidate.number, None)
            self._in_flight.add(candidate.number)
            self._executor.submit(candidate)

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return what ended, waiting for the first."""
        ended = self._executor.wait(timeout_s=timeout_s)
        self._in_flight -= {number for number, _ in ended}
        if self.expensive is None:
            self._outcomes.update(ended)
            for _, outcome in ended:
                if isinstance(outcome, Evaluated):
                    self.expensive = tuple(outcome.objectives)
                    raise _NamedError
        return ended

    def shutdown(self) -> None:
        """Shut the executor down."""
        self._executor.shutdown()
