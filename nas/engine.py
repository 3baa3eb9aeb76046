"""The loop of a search: propose, write down, dispatch, collect, write down.

Knows nothing about language models, files or clusters; those are the problem's, the study's and the executor's.
"""

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

import numpy as np

from nas.candidates import Candidate, Proposal, Record
from nas.errors import SearchFailedError
from nas.evolution.initialization import ExhaustedError
from nas.evolution.strategy import Problem, Strategy, num_proposed
from nas.executors.executor import Executor
from nas.study import Study

G = TypeVar("G", bound=Hashable)

_POLL_S = 0.5
_MAX_BUGS_IN_A_ROW = 5


class Observer(Protocol):
    """Is told what happens; the engine never waits for what it does."""

    def started(self, candidate: Candidate[Any]) -> None:
        """A candidate was dispatched."""

    def ended(self, record: Record[Any]) -> None:
        """A trial ended and is on record."""

    def tick(self) -> None:
        """Time passed."""


class SilentObserver:
    """Ignores everything."""

    def started(self, candidate: Candidate[Any]) -> None:
        """Ignore it."""

    def ended(self, record: Record[Any]) -> None:
        """Ignore it."""

    def tick(self) -> None:
        """Ignore it."""


def run(
    problem: Problem[G],
    strategy: Strategy[G],
    *,
    study: Study[G],
    executor: Executor[G],
    num_evaluations: int,
    num_repeats: int = 0,
    seed: int,
    describe: Callable[[G], Mapping[str, Any]] = lambda _: {},
    observer: Observer | None = None,
    uninterrupted: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Evaluate candidates until the study holds `num_evaluations` of them and `num_repeats` repeats.

    Trials that were running when the study was last written are evaluated first, under their own number and seed; what
    ended is never evaluated again. Proposal n draws from `default_rng((seed, n))`, so resuming is replaying.

    Args:
        problem: what is searched for.
        strategy: proposes candidates.
        study: the record; read at the start, written throughout.
        executor: runs evaluations.
        num_evaluations: candidates in all, those already in the study counted.
        num_repeats: at the end, this many finished candidates are evaluated once more under another seed.
        seed: of the search; every candidate is evaluated under the same one.
        describe: JSON-ready words about a genome, kept with its trial.
        observer: is told of every start and end.
        uninterrupted: context in which an interrupt waits; held while the study is written.

    Raises:
        SearchFailedError: several evaluations in a row failed by a bug.
    """
    watcher = observer or SilentObserver()
    in_flight: dict[int, Candidate[G]] = {}

    def dispatch(candidate: Candidate[G]) -> None:
        in_flight[candidate.number] = candidate
        executor.submit(candidate)
        watcher.started(candidate)

    for candidate in study.running():
        dispatch(candidate)
    bugs_in_a_row = 0
    while True:
        while len(in_flight) < executor.capacity:
            proposal = _next_proposal(
                strategy, study, num_evaluations=num_evaluations, num_repeats=num_repeats, seed=seed
            )
            if proposal is None:
                break
            with uninterrupted():
                candidate = _numbered(problem, study, proposal, seed=seed, describe=describe)
                study.add(candidate)
            dispatch(candidate)
        if not in_flight:
            return
        for number, outcome in executor.wait(timeout_s=_POLL_S):
            del in_flight[number]
            with uninterrupted():
                record = study.finish(number, outcome, constraints=problem.constraints)
            watcher.ended(record)
            is_bug = record.failure is not None and record.failure.kind == "bug"
            bugs_in_a_row = bugs_in_a_row + 1 if is_bug else 0
            if record.failure is not None and bugs_in_a_row >= _MAX_BUGS_IN_A_ROW:
                raise SearchFailedError(
                    f"{bugs_in_a_row} candidates in a row failed by a bug, the last with: {record.failure.message} "
                    "Nothing that finished is lost; mend the cause and resume."
                )
        watcher.tick()


def _next_proposal(
    strategy: Strategy[G], study: Study[G], *, num_evaluations: int, num_repeats: int, seed: int
) -> Proposal[G] | None:
    """Return what to evaluate next, or none while nothing is to be started."""
    history, running = study.history(), study.running()
    rng = np.random.default_rng((seed, study.num_trials))
    if num_proposed(history, running) < num_evaluations:
        try:
            proposals = strategy.propose(history, running, num=1, rng=rng)
        except ExhaustedError:
            # A small space evaluated to its end is a finished search, unless it gave nothing at all.
            if not running and not history.finished():
                raise
            proposals = []
        if proposals or running:
            return proposals[0] if proposals else None
    # Repeats start once every candidate has ended, so that any of them may be drawn.
    if any(candidate.proposal.repeat_of is None for candidate in running):
        return None
    repeated = {record.candidate.proposal.repeat_of for record in history if record.is_repeat}
    repeated |= {candidate.proposal.repeat_of for candidate in running}
    choice = [record for record in history.finished() if record.number not in repeated]
    if len(repeated) >= num_repeats or not choice:
        return None
    drawn = choice[rng.integers(len(choice))]
    return Proposal(genome=drawn.genome, origin="repeat", repeat_of=drawn.number)


def _numbered(
    problem: Problem[G],
    study: Study[G],
    proposal: Proposal[G],
    *,
    seed: int,
    describe: Callable[[G], Mapping[str, Any]],
) -> Candidate[G]:
    return Candidate(
        number=study.num_trials,
        proposal=proposal,
        fingerprint=problem.fingerprint(proposal.genome),
        # A repeat differs from its candidate in nothing but the seed.
        seed=seed if proposal.repeat_of is None else seed + 1,
        cheap=dict(problem.cheap(proposal.genome)),
        description=describe(proposal.genome),
    )
