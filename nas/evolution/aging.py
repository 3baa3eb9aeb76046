"""Aging evolution, as in the paper: one budget, perplexity alone ranks [NF C.2, Algorithm 1; Real et al. 2019].

The budget is a constraint on a cheap objective; the space's `fit` sets the largest width within it.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from nas.candidates import Candidate, History, Proposal, Record
from nas.evolution.initialization import opening_proposal, random_proposal
from nas.evolution.repair import largest_fitted
from nas.evolution.selection import tournament
from nas.evolution.strategy import Problem, Strategy, num_proposed, number_at, taken_fingerprints
from nas.evolution.variation import offspring

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aging(Strategy[G], Generic[G]):
    """Regularized evolution in cycles."""

    problem: Problem[G]

    population_size: int
    """P: random candidates at the start, and how many of the youngest may be parents."""

    tournament_size: int
    """S: members drawn for each tournament."""

    offspring_per_cycle: int
    """Children of one cycle, evaluated at once; a cycle starts when the one before has ended."""

    def propose(
        self, history: History[G], in_flight: Sequence[Candidate[G]], *, num: int, rng: np.random.Generator
    ) -> list[Proposal[G]]:
        """Return the next proposals of this cycle; none at its end while any of it is in flight."""
        taken = taken_fingerprints(history, in_flight)
        proposals: list[Proposal[G]] = []
        while len(proposals) < num:
            position = num_proposed(history, in_flight) + len(proposals)
            child = self._opening(position, taken, rng=rng)
            if child is None:
                parents = self._parents(position, history, in_flight, waits_for_proposals=bool(proposals))
                if parents is None:
                    break
                child = self._child(parents, taken, rng=rng)
            taken.add(self.problem.fingerprint(child.genome))
            proposals.append(child)
        return proposals

    def _opening(self, position: int, taken: set[str], *, rng: np.random.Generator) -> Proposal[G] | None:
        return opening_proposal(
            self.problem, position, taken, population_size=self.population_size, repair=largest_fitted, rng=rng
        )

    def _parents(
        self, position: int, history: History[G], in_flight: Sequence[Candidate[G]], *, waits_for_proposals: bool
    ) -> list[Record[G]] | None:
        """Return the population as it was when the cycle of proposal `position` began, or none while that is open."""
        first_child = max(self.population_size, len(self.problem.initial))
        cycle_start = position - (position - first_child) % self.offspring_per_cycle
        first_number = number_at(cycle_start, history, in_flight)
        if first_number is None and (in_flight or waits_for_proposals):
            return None
        # What this cycle's own children bring must not be seen before the next: they are proposed as if at once.
        return history.youngest(self.population_size, before=first_number)

    def _child(self, parents: Sequence[Record[G]], taken: set[str], *, rng: np.random.Generator) -> Proposal[G]:
        if not parents:
            return random_proposal(self.problem, taken, repair=largest_fitted, rng=rng)
        parent = tournament(parents, size=self.tournament_size, objective=self.problem.expensive[0], rng=rng)
        return offspring(self.problem, parent, taken, repair=largest_fitted, rng=rng)
