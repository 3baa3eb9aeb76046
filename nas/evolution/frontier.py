"""One search for the whole frontier, steady-state: no cycles, no waiting.

Each tournament draws a budget on the other objectives from the parents and takes the best within it. Parents are the
frontier of everything seen and the youngest of the rest. With one objective there is no budget.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from nas.candidates import Candidate, History, Proposal
from nas.evolution.initialization import opening_proposal, random_proposal
from nas.evolution.repair import kept_or_fitted
from nas.evolution.selection import budget_tournament, tournament
from nas.evolution.strategy import Problem, Strategy, num_proposed, taken_fingerprints
from nas.evolution.survival import archive
from nas.evolution.variation import offspring

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier(Strategy[G], Generic[G]):
    """Evolution along a frontier of two or more objectives."""

    problem: Problem[G]

    population_size: int
    """Random candidates at the start, and how many of the youngest join the frontier as parents."""

    tournament_size: int

    def propose(
        self, history: History[G], in_flight: Sequence[Candidate[G]], *, num: int, rng: np.random.Generator
    ) -> list[Proposal[G]]:
        """Return `num` proposals."""
        proposed = num_proposed(history, in_flight)
        taken = taken_fingerprints(history, in_flight)
        proposals: list[Proposal[G]] = []
        for position in range(proposed, proposed + num):
            child = self.next(position, history, taken, rng=rng)
            taken.add(self.problem.fingerprint(child.genome))
            proposals.append(child)
        return proposals

    def next(self, position: int, history: History[G], taken: set[str], *, rng: np.random.Generator) -> Proposal[G]:
        """Return proposal `position`, which is none of those taken."""
        opening = opening_proposal(
            self.problem, position, taken, population_size=self.population_size, repair=kept_or_fitted, rng=rng
        )
        if opening is not None:
            return opening
        parents = archive(history, size=self.population_size)
        if not parents:
            return random_proposal(self.problem, taken, repair=kept_or_fitted, rng=rng)
        ranked, *budgeted = self.problem.objectives
        if budgeted:
            parent = budget_tournament(parents, size=self.tournament_size, objective=ranked, budgeted=budgeted, rng=rng)
        else:
            parent = tournament(parents, size=self.tournament_size, objective=ranked, rng=rng)
        mates = history.frontier()
        return offspring(self.problem, parent, taken, mates=mates, repair=kept_or_fitted, rng=rng)
