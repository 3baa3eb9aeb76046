"""How a parent becomes a child."""

from collections.abc import Hashable
from typing import TypeVar

import numpy as np

from nas.candidates import Proposal, Record
from nas.evolution.initialization import repair
from nas.evolution.strategy import Problem

G = TypeVar("G", bound=Hashable)

_TRIES = 30


def mutated_proposal(
    problem: Problem[G], parent: Record[G], taken: set[str], *, rng: np.random.Generator
) -> Proposal[G] | None:
    """Return a child of one mutation that is new and meets the cheap constraints, or none after many tries."""
    for _ in range(_TRIES):
        child, words = problem.space.mutate(parent.genome, rng=rng)
        repaired = repair(problem, child)
        if repaired is not None and problem.fingerprint(repaired) not in taken:
            return Proposal(genome=repaired, origin="mutation", parent=parent.number, mutation=words)
    return None
