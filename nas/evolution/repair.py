"""How a genome is made to meet the constraints that need no evaluation."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from nas.evolution.strategy import Problem
from search_spaces import RepairingSpace

G = TypeVar("G", bound=Hashable)

Repair = Callable[[Problem[Any], Any], Any]
"""Returns a genome that meets the cheap constraints, or none."""


def kept_or_fitted(problem: Problem[G], genome: G) -> G | None:
    """Return the genome itself where it meets the cheap constraints, else the largest repaired one, or none."""
    if not problem.cheap_constraints or problem.meets_cheap_constraints(genome):
        return genome
    return _fitted(problem, genome)


def largest_fitted(problem: Problem[G], genome: G) -> G | None:
    """Return the largest repaired genome that meets the cheap constraints, or none.

    For a space whose width is no gene: "the largest width within the latency budget" [NF C.1].
    """
    if not problem.cheap_constraints:
        return genome
    return _fitted(problem, genome)


def _fitted(problem: Problem[G], genome: G) -> G | None:
    if isinstance(problem.space, RepairingSpace):
        return problem.space.fit(genome, problem.meets_cheap_constraints)
    return genome if problem.meets_cheap_constraints(genome) else None
