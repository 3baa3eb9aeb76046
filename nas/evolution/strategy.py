"""What every strategy is: a pure function from what is known to what to evaluate next."""

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from nas.candidates import Candidate, History, Proposal, fingerprint_of
from search_spaces import SearchSpace

G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(Generic[G]):
    """What is searched for, with nothing about how."""

    space: SearchSpace[G]

    expensive: tuple[str, ...]
    """Objectives that cost an evaluation; strategies rank by the first."""

    cheap: Callable[[G], Mapping[str, float]]
    """Quantities known without one; may hold more than `cheap_objectives`, to be bounded by constraints."""

    cheap_objectives: tuple[str, ...] = ()

    constraints: Mapping[str, float] = field(default_factory=dict)
    """Upper bounds by name of a cheap quantity or an expensive objective."""

    initial: tuple[G, ...] = ()
    """Genomes to start from, evaluated first and in this order."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """All objectives, the expensive ones first."""
        return (*self.expensive, *self.cheap_objectives)

    @property
    def cheap_constraints(self) -> dict[str, float]:
        """The constraints that need no evaluation."""
        return {name: bound for name, bound in self.constraints.items() if name not in self.expensive}

    def meets_cheap_constraints(self, genome: G) -> bool:
        """Whether the genome obeys every constraint that needs no evaluation."""
        values = self.cheap(genome)
        return all(values[name] <= bound for name, bound in self.cheap_constraints.items())

    def fingerprint(self, genome: G) -> str:
        """Return what names the candidate a genome stands for."""
        return fingerprint_of(self.space, genome)


class Strategy(ABC, Generic[G]):
    """Proposes genomes. Holds its settings and the problem, and no state that changes."""

    @abstractmethod
    def propose(
        self, history: History[G], in_flight: Sequence[Candidate[G]], *, num: int, rng: np.random.Generator
    ) -> list[Proposal[G]]:
        """Return up to `num` proposals; none while the strategy waits for what is in flight.

        Raises:
            InfeasibleError: no genome of the space meets the cheap constraints.
            ExhaustedError: nothing new is left to propose.
        """


def taken_fingerprints(history: History[G], in_flight: Sequence[Candidate[G]]) -> set[str]:
    """Return the fingerprints of everything proposed so far, whatever became of it."""
    return history.fingerprints | {candidate.fingerprint for candidate in in_flight}


def num_proposed(history: History[G], in_flight: Sequence[Candidate[G]]) -> int:
    """Return how many candidates were proposed so far, repeats left out."""
    return len(history.candidate_numbers) + sum(candidate.proposal.repeat_of is None for candidate in in_flight)


def number_at(position: int, history: History[G], in_flight: Sequence[Candidate[G]]) -> int | None:
    """Return the number of the candidate proposed at a position, repeats left out; none if it is still to come."""
    ended = history.candidate_numbers
    running = sorted(candidate.number for candidate in in_flight if candidate.proposal.repeat_of is None)
    if position >= len(ended) + len(running):
        return None
    # One of the two holds it, behind as many of the other as are smaller.
    for smaller, number in enumerate(running):
        if bisect_left(ended, number) + smaller == position:
            return number
    return next(
        ended[position - smaller]
        for smaller in range(len(running) + 1)
        if 0 <= position - smaller < len(ended) and bisect_left(running, ended[position - smaller]) == smaller
    )
