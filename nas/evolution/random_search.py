"""Random search: the baseline every strategy must beat."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from nas.candidates import Candidate, History, Proposal
from nas.evolution.initialization import opening_proposal, random_proposal
from nas.evolution.repair import kept_or_fitted
from nas.evolution.strategy import Problem, Strategy, num_proposed, taken_fingerprints

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSearch(Strategy[G], Generic[G]):
    """Draws every candidate from the space, without looking at results."""

    problem: Problem[G]

    def propose(
        self, history: History[G], in_flight: Sequence[Candidate[G]], *, num: int, rng: np.random.Generator
    ) -> list[Proposal[G]]:
        """Return `num` random proposals."""
        proposed = num_proposed(history, in_flight)
        taken = taken_fingerprints(history, in_flight)
        proposals: list[Proposal[G]] = []
        for position in range(proposed, proposed + num):
            opening = opening_proposal(self.problem, position, taken, population_size=0, repair=kept_or_fitted, rng=rng)
            proposals.append(opening or random_proposal(self.problem, taken, repair=kept_or_fitted, rng=rng))
            taken.add(self.problem.fingerprint(proposals[-1].genome))
        return proposals
