"""As `frontier`, but many offspring are imagined for each that is evaluated, and a model of the objective chooses.

Cheap objectives are taken exactly. Candidates are planned in batches that grow with what is known, so that a search of
thousands spends no more time on each. The model is trusted as far as it predicts what it was not shown: the rest of a
batch is bred without it.
"""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import numpy as np

from nas.candidates import Candidate, History, Proposal, Record
from nas.evolution.frontier import Frontier
from nas.evolution.imagination import Belief, imagine
from nas.evolution.strategy import Problem, Strategy, num_proposed, taken_fingerprints
from nas.evolution.survival import archive

G = TypeVar("G", bound=Hashable)

LEAST_TO_FIT: Final = 8
MOST_TO_FIT: Final = 300
"""Records a model is fitted to: the frontier and the latest of the rest. Its time grows with their third power."""

MOST_PENALISED: Final = 50
"""Of the failures that count as the worst candidate seen: the latest of them."""

MOST_STOPPED: Final = 100
"""Of the candidates that were stopped early, with what is expected of them: the latest."""

BATCH_SHARE: Final = 50
"""One model serves a batch of so small a share of the candidates so far."""

SPARE: Final = 4
"""Children planned beyond the batch, in the place of those that others proposed meanwhile."""

LEAST_UNGUIDED: Final = 0.1
"""Share of candidates bred without the model where it predicts perfectly; all are where it knows nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan(Generic[G]):
    """A batch chosen from what was imagined."""

    basis: str
    """Names what it was made from."""

    children: list[Proposal[G]]
    """The most promising first."""

    unguided_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Surrogate(Strategy[G], Generic[G]):
    """Evolution along a frontier, guided by a Gaussian process."""

    problem: Problem[G]

    population_size: int
    """Random candidates at the start, and how many of the youngest join the frontier as parents."""

    tournament_size: int

    num_imagined: int
    """Offspring imagined in each of a few generations."""

    _kept: list[_Plan[G]] = field(default_factory=list, init=False, repr=False, compare=False)
    """The plan being served, if any. It can be made again from the history, which takes time."""

    def propose(
        self, history: History[G], in_flight: Sequence[Candidate[G]], *, num: int, rng: np.random.Generator
    ) -> list[Proposal[G]]:
        """Return `num` proposals."""
        proposed = num_proposed(history, in_flight)
        taken = taken_fingerprints(history, in_flight)
        proposals: list[Proposal[G]] = []
        for position in range(proposed, proposed + num):
            child = self._guided(position, history, taken, rng=rng)
            if child is None:
                child = self._frontier.next(position, history, taken, rng=rng)
            taken.add(self.problem.fingerprint(child.genome))
            proposals.append(child)
        return proposals

    @property
    def _frontier(self) -> Frontier[G]:
        return Frontier(
            problem=self.problem, population_size=self.population_size, tournament_size=self.tournament_size
        )

    def _parents(self, history: History[G]) -> list[Record[G]]:
        return archive(history, size=self.population_size)

    def _guided(
        self, position: int, history: History[G], taken: set[str], *, rng: np.random.Generator
    ) -> Proposal[G] | None:
        """Return the next of the plan that is still new, or none where a candidate is to be bred without the model."""
        first = max(self.population_size, len(self.problem.initial))
        if position < first:
            return None
        plan = self._plan(batch_start(position, first=first), history)
        if plan is None or rng.random() < plan.unguided_share:
            return None
        return next((child for child in plan.children if self.problem.fingerprint(child.genome) not in taken), None)

    def _plan(self, start: int, history: History[G]) -> _Plan[G] | None:
        """Return the plan of the batch that begins at candidate `start`, or none where too little is known for one."""
        if len(history) == 0:
            return None
        # The last one known when the batch began stands for all before it.
        basis = f"{start} {history[min(start, len(history)) - 1].candidate.fingerprint}"
        if not self._kept or self._kept[0].basis != basis:
            plan = self._new_plan(start, history.before(start), basis=basis)
            self._kept[:] = [] if plan is None else [plan]
        return self._kept[0] if self._kept else None

    def _new_plan(self, start: int, history: History[G], *, basis: str) -> _Plan[G] | None:
        known = archive(history, size=MOST_TO_FIT)[-MOST_TO_FIT:]
        if len(known) < LEAST_TO_FIT:
            return None
        belief = Belief(
            self.problem, known, worst=history.penalised()[-MOST_PENALISED:], stopped=history.stopped()[-MOST_STOPPED:]
        )
        children = imagine(
            self.problem,
            self._parents(history),
            history.frontier(),
            belief,
            taken={record.genome for record in history},
            num_imagined=self.num_imagined,
            batch_size=batch_size(start) + SPARE,
            # From what is known and not from the caller's generator: a search resumed within a batch goes on with it.
            rng=np.random.default_rng(list(hashlib.sha256(basis.encode()).digest())),
        )
        unguided_share = LEAST_UNGUIDED + (1 - LEAST_UNGUIDED) * (1 - belief.trust)
        return _Plan(basis=basis, children=children, unguided_share=unguided_share)


def batch_size(start: int) -> int:
    """Return how many candidates one model serves, from candidate `start` on."""
    return max(1, start // BATCH_SHARE)


def batch_start(position: int, *, first: int) -> int:
    """Return where the batch of candidate `position` begins; the first batch begins at `first`."""
    start = first
    while start + batch_size(start) <= position:
        start += batch_size(start)
    return start
