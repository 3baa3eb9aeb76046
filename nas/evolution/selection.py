"""Who becomes a parent: tournaments."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np

from nas.candidates import Record

G = TypeVar("G", bound=Hashable)


def tournament(pool: Sequence[Record[G]], *, size: int, objective: str, rng: np.random.Generator) -> Record[G]:
    """Return the best of `size` records drawn without replacement [NF C.2, Algorithm 1]."""
    drawn = rng.choice(len(pool), size=min(size, len(pool)), replace=False)
    return min((pool[index] for index in drawn), key=lambda record: (record.objectives[objective], record.number))


def budget_tournament(
    pool: Sequence[Record[G]], *, size: int, objective: str, budgeted: Sequence[str], rng: np.random.Generator
) -> Record[G]:
    """Return the best of `size` records drawn from those within a budget on every objective of `budgeted`.

    The budget is what a random member takes, so that each part of the frontier is worked on as often as candidates lie
    there. Drawing it from the range of values instead, and the records before the budget, was worse than
    random search where few candidates are cheap.
    """
    budget = pool[int(rng.integers(len(pool)))].objectives
    within = [record for record in pool if all(record.objectives[name] <= budget[name] for name in budgeted)]
    return tournament(within, size=size, objective=objective, rng=rng)
