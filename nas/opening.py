"""The first candidates of a search whose expensive objectives nobody has named: the first that evaluates names them.

Only until then; the search itself goes on in `engine.py`, and nothing begun here is evaluated again.
"""

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Generic, TypeVar

from nas.candidates import Candidate, Evaluated, Outcome
from nas.engine import run
from nas.evolution.strategy import Problem, Strategy
from nas.executors.executor import Executor
from nas.study import Study

G = TypeVar("G", bound=Hashable)

UNNAMED = ("unnamed",)
"""In the place of the expensive objectives until they have names."""


class _NamedError(Exception):
    """The objectives have names now."""


class Opening(Executor[G], Generic[G]):
    """Passes evaluations on to an executor, and remembers them."""

    def __init__(self, executor: Executor[G]) -> None:
        self.capacity = executor.capacity
        self.expensive: tuple[str, ...] | None = None
        """What a candidate has named the expensive objectives, once one has."""

        self._executor = executor
        self._begun: dict[int, Candidate[G]] = {}
        self._outcomes: dict[int, Outcome] = {}

    def run(
        self,
        problem: Problem[G],
        make_strategy: Callable[[Problem[G]], Strategy[G]],
        *,
        num_evaluations: int,
        seed: int,
    ) -> Study[G]:
        """Evaluate until a candidate has named the objectives; return the failures, in memory."""
        problem = replace(problem, expensive=UNNAMED)
        study = Study(space=problem.space, objectives=problem.objectives)
        with suppress(_NamedError):
            run(
                problem,
                make_strategy(problem),
                study=study,
                executor=self,
                num_evaluations=num_evaluations,
                seed=seed,
            )
        return study

    def write(self, study: Study[G], *, constraints: Mapping[str, float]) -> None:
        """Write down what was begun and what came of it."""
        for candidate in self._begun.values():
            study.add(candidate)
        for number, outcome in self._outcomes.items():
            study.finish(number, outcome, constraints=constraints)

    def submit(self, candidate: Candidate[G]) -> None:
        """Start the evaluation of a candidate, unless it has begun."""
        if candidate.number not in self._begun:
            self._begun[candidate.number] = candidate
            self._executor.submit(candidate)

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return what ended, waiting for the first."""
        ended = self._executor.wait(timeout_s=timeout_s)
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
