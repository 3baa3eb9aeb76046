"""Listed: given genomes, one after the other. No search at all, but as durable as one."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from nas.candidates import Candidate, History, Proposal
from nas.evolution.initialization import ExhaustedError
from nas.evolution.strategy import Problem, Strategy, taken_fingerprints

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Strategy[G], Generic[G]):
    """Proposes the genomes of a list that were not proposed yet, in its order."""

    problem: Problem[G]
    genomes: Sequence[G]

    def propose(
        self, history: History[G], in_flight: Sequence[Candidate[G]], *, num: int, rng: np.random.Generator
    ) -> list[Proposal[G]]:
        """Return the next `num` of the list.

        Raises:
            ExhaustedError: there are none.
        """
        del rng  # nothing is drawn
        taken = taken_fingerprints(history, in_flight)
        left = (genome for genome in self.genomes if self.problem.fingerprint(genome) not in taken)
        proposals: list[Proposal[G]] = [
            Proposal(genome=genome, origin="seed") for genome, _ in zip(left, range(num), strict=False)
        ]
        if not proposals:
            raise ExhaustedError(f"All {len(self.genomes)} genomes of the list were proposed.")
        return proposals
