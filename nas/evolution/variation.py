"""How a parent becomes a child."""

from collections.abc import Hashable
from typing import TypeVar

import numpy as np

from nas.candidates import Proposal, Record
from nas.evolution.initialization import random_proposal
from nas.evolution.repair import Repair
from nas.evolution.strategy import Problem

G = TypeVar("G", bound=Hashable)

_TRIES = 30


def offspring(
    problem: Problem[G], parent: Record[G], taken: set[str], *, repair: Repair, rng: np.random.Generator
) -> Proposal[G]:
    """Return a child of one mutation that is new and meets the cheap constraints.

    Where the neighbourhood of the parent is used up, a random genome takes the child's place.
    """
    for _ in range(_TRIES):
        child, words = problem.space.mutate(parent.genome, rng=rng)
        repaired = repair(problem, child)
        if repaired is not None and problem.fingerprint(repaired) not in taken:
            return Proposal(genome=repaired, origin="mutation", parent=parent.number, mutation=words)
    return random_proposal(problem, taken, repair=repair, rng=rng)
