"""A training of another length: a candidate of a run, for how many times its steps, under which seed.

Genomes of a space of their own, so that the engine of a search writes them down, places them and continues them. How
they are evaluated is `evaluation.py`.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces import SearchSpace

AT_INITIALIZATION = 0.0
"""The length of a training that does not train: it gives the scores without training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training."""

    trial: int | None
    """Number of the candidate in its run; none for one that it has not."""

    genome: Hashable
    times: float
    """Length, as a multiple of the run's; 0 does not train."""

    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpace:
    """The trainings of candidates of a space, mutated and crossed as these are; a length is no factor of it."""

    space: SearchSpace[Any]

    def sample(self, *, rng: np.random.Generator) -> Training:
        """Return a training of a random genome, as long as the run's; it is of no trial."""
        return Training(trial=None, genome=self.space.sample(rng=rng), times=1.0, seed=0)

    def mutate(self, genome: Training, *, rng: np.random.Generator) -> tuple[Training, str]:
        """Return the same length and seed for a mutated candidate."""
        mutated, words = self.space.mutate(genome.genome, rng=rng)
        return replace(genome, trial=None, genome=mutated), words

    def crossover(self, first: Training, second: Training, *, rng: np.random.Generator) -> Training:
        """Return the first's length and seed for a crossed candidate."""
        return replace(first, trial=None, genome=self.space.crossover(first.genome, second.genome, rng=rng))

    def contains(self, genome: Training) -> bool:
        """Whether the candidate lies in its space and the length is none below zero."""
        return genome.times >= 0 and self.space.contains(genome.genome)

    def features(self, genome: Training) -> NDArray[np.float64]:
        """Return the candidate's features and the length."""
        return np.append(self.space.features(genome.genome), genome.times)

    def to_dict(self, genome: Training) -> dict[str, Any]:
        """Return a JSON-ready mapping of the training."""
        return {
            "trial": genome.trial,
            "times": genome.times,
            "seed": genome.seed,
            "genome": self.space.to_dict(genome.genome),
        }

    def from_dict(self, mapping: Mapping[str, Any]) -> Training:
        """Read what `to_dict` wrote."""
        return Training(
            trial=mapping["trial"],
            genome=self.space.from_dict(mapping["genome"]),
            times=float(mapping["times"]),
            seed=int(mapping["seed"]),
        )

    def decode(self, genome: Training) -> Training:
        """Return the training itself: two are the same when all of it is."""
        return genome
