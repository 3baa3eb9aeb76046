"""The loop of a search: propose, write down, dispatch, collect, write down.

Knows nothing about language models, files or clusters; those are the problem's, the study's and the executor's.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from nas.candidates import OF_FRONTIER, Candidate, Failed, History, Outcome, Proposal, Record, Stopped
from nas.evolution.initialization import ExhaustedError
from nas.evolution.strategy import Problem, Strategy, num_proposed
from nas.executors.executor import Executor
from nas.failure_policy import DEFAULT_POLICIES, FailurePolicies
from nas.flight import Flight, FlightObserver
from nas.halving import Halving, rung_losses_of, seen_in
from nas.study import Study

G = TypeVar("G", bound=Hashable)

_POLL_S = 0.5


class Observer(FlightObserver, Protocol):
    """Is told what happens; the engine never waits for what it does."""

    def tick(self) -> None:
        """Time passed."""


class WorkBeside(Protocol):
    """What shares the executor with a search and changes nothing of it."""

    def settle(self) -> None:
        """Write down what ended, and begin what may begin now."""


class SilentObserver:
    """Ignores everything."""

    def started(self, candidate: Candidate[Any]) -> None:
        """Ignore it."""

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
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
    frontier_repeats: int = 0,
    seed: int,
    failures: FailurePolicies = DEFAULT_POLICIES,
    halving: Halving | None = None,
    describe: Callable[[G], Mapping[str, Any]] = lambda _: {},
    beside: WorkBeside | None = None,
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
        frontier_repeats: so often every candidate that gets onto the frontier is evaluated again, each time under
            another seed; the mean ranks it.
        seed: of the search; every candidate is first evaluated under the same one.
        failures: what follows each kind of failure.
        halving: which evaluations end early; none: all go to their end.
        describe: JSON-ready words about a genome, kept with its trial.
        beside: other work through the same executor, which hands it its own outcomes.
        observer: is told of every start and end.
        uninterrupted: context in which an interrupt waits; held while the study is written.

    Raises:
        SearchFailedError: several candidates in a row failed in a way that is to end the search.
    """
    watcher = observer or SilentObserver()
    flight: Flight[G] = Flight(
        study,
        executor.submit,
        failures=failures,
        constraints=problem.constraints,
        expected=partial(_expected, history=study.history(), halving=halving),
        observer=watcher,
    )
    for candidate in study.running():
        flight.dispatch(candidate)
    while True:
        while len(flight) < executor.capacity:
            proposal = _next_proposal(
                strategy,
                study,
                num_evaluations=num_evaluations,
                num_repeats=num_repeats,
                frontier_repeats=frontier_repeats,
                seed=seed,
            )
            if proposal is None:
                break
            with uninterrupted():
                candidate = _numbered(problem, study, proposal, seed=seed, halving=halving, describe=describe)
                study.add(candidate)
            flight.dispatch(candidate)
        if not flight:
            return
        outcomes = executor.wait(timeout_s=_POLL_S)
        # All that ended together is on record before anything may end the search.
        with uninterrupted():
            records = flight.settle(outcomes)
            if beside is not None:
                beside.settle()
        flight.stop_if_repeated(records)
        watcher.tick()


def _expected(
    candidate: Candidate[G], outcome: Outcome, history: History[G], *, halving: Halving | None
) -> float | None:
    """Return what the first objective of a stopped evaluation would likely have become."""
    if not isinstance(outcome, Stopped) or halving is None:
        return None
    seen = seen_in(history, objective=history.objectives[0])
    return halving.expected_perplexity(candidate.cheap, rung_losses_of(outcome.details), seen)


def _next_proposal(
    strategy: Strategy[G],
    study: Study[G],
    *,
    num_evaluations: int,
    num_repeats: int,
    frontier_repeats: int,
    seed: int,
) -> Proposal[G] | None:
    """Return what to evaluate next, or none while nothing is to be started."""
    history, running = study.history(), study.running()
    for record in history.frontier() if frontier_repeats else ():
        if _repeats_begun(record.number, history, running) < frontier_repeats:
            return Proposal(
                genome=record.genome, origin="repeat", repeat_of=record.number, sampling={OF_FRONTIER: True}
            )
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
    # These repeats start once every candidate has ended, so that any of them may be drawn.
    if any(candidate.proposal.repeat_of is None for candidate in running):
        return None
    num_drawn = sum(record.candidate.proposal.measures_noise for record in history if record.is_repeat)
    num_drawn += sum(candidate.proposal.measures_noise for candidate in running)
    repeated = {candidate.proposal.repeat_of for candidate in running}
    choice = [one for one in history.finished() if not history.num_repeats(one.number) and one.number not in repeated]
    if num_drawn >= num_repeats or not choice:
        return None
    drawn = choice[rng.integers(len(choice))]
    return Proposal(genome=drawn.genome, origin="repeat", repeat_of=drawn.number)


def _repeats_begun(number: int, history: History[G], running: Sequence[Candidate[G]]) -> int:
    return history.num_repeats(number) + sum(candidate.proposal.repeat_of == number for candidate in running)


def _numbered(
    problem: Problem[G],
    study: Study[G],
    proposal: Proposal[G],
    *,
    seed: int,
    halving: Halving | None,
    describe: Callable[[G], Mapping[str, Any]],
) -> Candidate[G]:
    # A repeat differs from its candidate in nothing but the seed.
    repeated = proposal.repeat_of
    cheap = dict(problem.cheap(proposal.genome))
    rungs = None
    if halving is not None and repeated is None:  # a repeat measures noise, of which only whole evaluations tell
        seen = seen_in(study.history(), objective=problem.expensive[0])
        rungs = halving.rungs_of(cheap, seen, seed=seed, number=study.num_trials)
    return Candidate(
        number=study.num_trials,
        proposal=proposal,
        fingerprint=problem.fingerprint(proposal.genome),
        seed=seed if repeated is None else seed + 1 + _repeats_begun(repeated, study.history(), study.running()),
        cheap=cheap,
        description=describe(proposal.genome),
        rungs=rungs,
    )
