"""The first candidates: given genomes, then random ones, all new and all within the cheap constraints."""

import math
from collections.abc import Hashable
from typing import TypeVar

import numpy as np

from nas.candidates import Proposal
from nas.errors import InfeasibleError, SearchFailedError
from nas.evolution.repair import Repair
from nas.evolution.strategy import Problem
from search_spaces import RepairingSpace

G = TypeVar("G", bound=Hashable)

_TRIES = 200


class ExhaustedError(SearchFailedError):
    """Nothing new is left to propose."""


def opening_proposal(
    problem: Problem[G],
    position: int,
    taken: set[str],
    *,
    population_size: int,
    repair: Repair,
    rng: np.random.Generator,
) -> Proposal[G] | None:
    """Return proposal `position` of the initial population, or none once that is complete.

    The given genomes come first and are taken as they are; random ones fill the population.
    """
    if position < len(problem.initial):
        genome = problem.initial[position]
        if problem.fingerprint(genome) not in taken:
            return Proposal(genome=genome, origin="seed")
    if position < max(population_size, len(problem.initial)):
        return random_proposal(problem, taken, repair=repair, rng=rng)
    return None


def random_proposal(problem: Problem[G], taken: set[str], *, repair: Repair, rng: np.random.Generator) -> Proposal[G]:
    """Return a random genome that is new and meets the cheap constraints.

    Raises:
        InfeasibleError: none of many samples can be made to meet them; names the bound that one would.
        ExhaustedError: every sample that meets them was proposed before.
    """
    met_any = False
    for _ in range(_TRIES):
        genome = repair(problem, problem.space.sample(rng=rng))
        if genome is None:
            continue
        met_any = True
        if problem.fingerprint(genome) not in taken:
            return Proposal(genome=genome, origin="random")
    if met_any:
        raise ExhaustedError(
            f"{_TRIES} random genomes brought nothing new after {len(taken)} candidates: the space is all but "
            "exhausted. Widen the space or ask for fewer evaluations."
        )
    raise InfeasibleError(_infeasible_message(problem, rng=rng))


def _infeasible_message(problem: Problem[G], *, rng: np.random.Generator) -> str:
    parts = []
    for name, bound in problem.cheap_constraints.items():
        smallest = smallest_value(problem, name, rng=rng)
        if smallest <= bound:
            continue
        parts.append(f"{name} <= {bound:g}, while the smallest found in the space is {_rounded_up(smallest)}")
    if not parts:
        bounds = ", ".join(f"{name} <= {bound:g}" for name, bound in problem.cheap_constraints.items())
        return f"Of {_TRIES} random genomes none meets {bounds} (all at once). Raise one of the bounds."
    return (
        f"No genome of the space meets {'; '.join(parts)}. "
        "Raise the bound to at least that, or allow smaller widths and depths."
    )


def _rounded_up(value: float) -> str:
    """Return four digits that are not below the value, so that a bound set to them is met."""
    if value <= 0:
        return f"{value:.4g}"
    unit = 10.0 ** (math.floor(math.log10(value)) - 3)
    return f"{math.ceil(value / unit) * unit:.4g}"


def check_feasible(problem: Problem[G], *, repair: Repair, rng: np.random.Generator) -> None:
    """Check that some genome meets the constraints that need no evaluation.

    Raises:
        InfeasibleError: none was found; names the bound that one would meet.
    """
    random_proposal(problem, set(), repair=repair, rng=rng)


def smallest_value(problem: Problem[G], name: str, *, rng: np.random.Generator) -> float:
    """Return the smallest value of a cheap objective found by descent from random genomes."""
    best = np.inf
    for _ in range(8):
        genome = problem.space.sample(rng=rng)
        value = problem.cheap(genome)[name]
        failures = 0
        while failures < 60:
            neighbour, _ = problem.space.mutate(genome, rng=rng)
            if isinstance(problem.space, RepairingSpace):
                # Accepting only what is cheaper makes `fit` walk the width down too.
                below = value
                fitted = problem.space.fit(neighbour, lambda g, limit=below: problem.cheap(g)[name] < limit)  # type: ignore[misc]
                neighbour = neighbour if fitted is None else fitted
            cost = problem.cheap(neighbour)[name]
            if cost < value:
                genome, value, failures = neighbour, cost, 0
            else:
                failures += 1
        best = min(best, value)
    return float(best)
