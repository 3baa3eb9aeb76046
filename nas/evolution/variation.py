"""How parents become a child."""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from nas.candidates import Proposal, Record
from nas.evolution.initialization import random_proposal
from nas.evolution.repair import Repair
from nas.evolution.strategy import Problem

G = TypeVar("G", bound=Hashable)

_TRIES = 30

_CROSSOVER_SHARE = 0.5


def child_of(
    problem: Problem[G], parent: Record[G], mates: Sequence[Record[G]], *, repair: Repair, rng: np.random.Generator
) -> Proposal[G] | None:
    """Return a child of a parent, crossed with a random mate half of the time, or none where it is beyond repair.

    What was crossed is mutated half of the time, anything else always. Without mates there is no crossover.
    """
    unchanged = Proposal(genome=parent.genome, origin="mutation", parent=parent.number)
    if len(mates) and rng.random() < _CROSSOVER_SHARE:
        mate = mates[int(rng.integers(len(mates)))]
        genome = problem.space.crossover(parent.genome, mate.genome, rng=rng)
        crossed = _changed(problem, unchanged, genome, f"crossed with trial {mate.number}", repair=repair)
        return crossed if crossed is None or rng.random() < 0.5 else mutant_of(problem, crossed, repair=repair, rng=rng)
    return mutant_of(problem, unchanged, repair=repair, rng=rng)


def mutant_of(
    problem: Problem[G], child: Proposal[G], *, repair: Repair, rng: np.random.Generator
) -> Proposal[G] | None:
    """Return a child with one mutation more, or none where that is beyond repair."""
    genome, words = problem.space.mutate(child.genome, rng=rng)
    return _changed(problem, child, genome, words, repair=repair)


def _changed(problem: Problem[G], child: Proposal[G], genome: G, words: str, *, repair: Repair) -> Proposal[G] | None:
    repaired = repair(problem, genome)
    if repaired is None:
        return None
    return replace(child, genome=repaired, mutation=f"{child.mutation}, then {words}" if child.mutation else words)


def offspring(
    problem: Problem[G],
    parent: Record[G],
    taken: set[str],
    *,
    mates: Sequence[Record[G]] = (),
    repair: Repair,
    rng: np.random.Generator,
) -> Proposal[G]:
    """Return a child that is new and meets the cheap constraints.

    Where the neighbourhood of the parent is used up, a random genome takes the child's place.
    """
    for _ in range(_TRIES):
        child = child_of(problem, parent, mates, repair=repair, rng=rng)
        if child is not None and problem.fingerprint(child.genome) not in taken:
            return child
    return random_proposal(problem, taken, repair=repair, rng=rng)
