"""Grid: every genome of a small space once, in the space's own order. For laws over a grid, not for finding winners."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from nas.candidates import Candidate, History, Proposal
from nas.errors import ConfigError
from nas.evolution.initialization import ExhaustedError
from nas.evolution.strategy import Problem, Strategy, taken_fingerprints
from search_spaces import EnumerableSpace

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid(Strategy[G], Generic[G]):
    """Proposes what the space lists, leaving out what a cheap constraint forbids."""

    problem: Problem[G]

    def __post_init__(self) -> None:
        if not isinstance(self.problem.space, EnumerableSpace):
            raise ConfigError(
                f"The strategy 'grid' needs a space that lists its genomes; {type(self.problem.space).__name__} does "
                "not. Use a depth_width space, or another strategy."
            )

    def propose(
        self, history: History[G], in_flight: Sequence[Candidate[G]], *, num: int, rng: np.random.Generator
    ) -> list[Proposal[G]]:
        """Return the next `num` genomes of the list that were not proposed yet.

        Raises:
            ExhaustedError: there are none.
        """
        del rng  # nothing is drawn
        assert isinstance(self.problem.space, EnumerableSpace)  # checked when this was made
        taken = taken_fingerprints(history, in_flight)
        proposals: list[Proposal[G]] = []
        for genome in self.problem.space.genomes():
            if len(proposals) == num:
                break
            if self.problem.fingerprint(genome) not in taken and self.problem.meets_cheap_constraints(genome):
                proposals.append(Proposal(genome=genome, origin="seed"))
        if not proposals:
            raise ExhaustedError(f"All genomes of the grid were proposed: {len(taken)} of them.")
        return proposals
