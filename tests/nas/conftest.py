"""A small space that is no language model, so that the engine is tested for what it is: an engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from nas.candidates import Candidate, Evaluated, Failed, Outcome, Proposal
from nas.evolution.strategy import Problem
from nas.executors.inprocess import InProcessExecutor
from nas.study import Study
from search_spaces import SuggestingTrial

Genome = tuple[int, ...]


@dataclass(frozen=True)
class LetterSpace:
    """Genomes of `length` digits below `num_values`."""

    length: int = 6
    num_values: int = 4

    def sample(self, *, rng: np.random.Generator) -> Genome:
        return tuple(int(value) for value in rng.integers(self.num_values, size=self.length))

    def mutate(self, genome: Genome, *, rng: np.random.Generator) -> tuple[Genome, str]:
        place = int(rng.integers(self.length))
        value = (genome[place] + 1 + int(rng.integers(self.num_values - 1))) % self.num_values
        return (*genome[:place], value, *genome[place + 1 :]), f"{place}: {genome[place]} → {value}"

    def crossover(self, first: Genome, second: Genome, *, rng: np.random.Generator) -> Genome:
        cut = int(rng.integers(self.length))
        return (*first[:cut], *second[cut:])

    def suggest(self, trial: SuggestingTrial) -> Genome:
        return tuple(trial.suggest_int(f"digit {place}", 0, self.num_values - 1) for place in range(self.length))

    def contains(self, genome: Genome) -> bool:
        return len(genome) == self.length and all(0 <= value < self.num_values for value in genome)

    def features(self, genome: Genome) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.asarray(genome, dtype=np.float64)

    def to_dict(self, genome: Genome) -> dict[str, Any]:
        return {"digits": list(genome)}

    def from_dict(self, mapping: Mapping[str, Any]) -> Genome:
        return tuple(mapping["digits"])

    def decode(self, genome: Genome) -> Genome:
        return genome


def cost(genome: Genome) -> dict[str, float]:
    return {"cost": 1.0 + sum(genome)}


def evaluate(genome: Genome, seed: int) -> Outcome:
    """Cheap genomes err more; digit 3 in front is broken."""
    if genome[0] == 3:
        return Failed("diverged", "The first digit is 3.")
    target = sum((value - 2) ** 2 * (place + 1) for place, value in enumerate(genome))
    return Evaluated(objectives={"error": 1.0 + target + 0.001 * seed}, details={"tokens_seen": 10})


@dataclass
class Toy:
    """The parts of a search over digits."""

    space: LetterSpace
    problem: Problem[Genome]

    def study(self, storage: Any = None) -> Study[Genome]:
        return Study(space=self.space, objectives=self.problem.objectives, storage=storage)

    def executor(self, function: Callable[[Genome, int], Outcome] = evaluate) -> InProcessExecutor[Genome]:
        return InProcessExecutor(function)

    def candidate(self, number: int, genome: Genome, *, repeat_of: int | None = None) -> Candidate[Genome]:
        origin = "random" if repeat_of is None else "repeat"
        return Candidate(
            number=number,
            proposal=Proposal(genome=genome, origin=origin, repeat_of=repeat_of),
            fingerprint=self.problem.fingerprint(genome),
            seed=0,
            cheap=cost(genome),
        )


@pytest.fixture
def toy() -> Toy:
    return make_toy()


@pytest.fixture
def make() -> Callable[..., Toy]:
    return make_toy


@pytest.fixture
def evaluate_toy() -> Callable[[Genome, int], Outcome]:
    return evaluate


def make_toy(
    *, constraints: Mapping[str, float] | None = None, initial: tuple[Genome, ...] = (), length: int = 6
) -> Toy:
    space = LetterSpace(length=length)
    problem = Problem(
        space=space,
        expensive=("error",),
        cheap=cost,
        cheap_objectives=("cost",),
        constraints=dict(constraints or {}),
        initial=initial,
    )
    return Toy(space, problem)
