"""How much a search finds per candidate: hypervolume of strategies on rugged landscapes after equal evaluations.

Every strategy runs with its defaults on the same landscapes and seeds, `nsga2` at the best of several population sizes.
The hypervolume is that of error and price below 1, which every genome stays under.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy is imported: the arms share the cores

import numpy as np
from numpy.typing import NDArray

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from benchmarks.nk_landscape import Genome, NKLandscape
from nas.candidates import Evaluated, Outcome
from nas.engine import run
from nas.evolution.registry import make_strategy
from nas.evolution.strategy import Problem
from nas.executors.inprocess import InProcessExecutor
from nas.pareto import hypervolume
from nas.study import Study

RUGGEDNESS: Final = (0, 2, 4)
BUDGETS: Final = (100, 200, 500)
NUM_SEEDS: Final = 10
NSGA2_POPULATIONS: Final = (20, 50, 100)
REACHED_AT: Final = {0: 500, 2: 200, 4: 200}
"""By K, the evaluations of nsga2 whose hypervolume 100 evaluations of the surrogate are to reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One strategy with its settings."""

    strategy: str
    population_size: int | None = None
    """Where the default is not taken."""

    @property
    def settings(self) -> dict[str, int]:
        """Settings of the strategy."""
        return {} if self.population_size is None else {"population_size": self.population_size}


ARMS: Final = (
    Arm(strategy="random"),
    Arm(strategy="aging"),
    Arm(strategy="frontier"),
    Arm(strategy="surrogate"),
    Arm(strategy="tpe"),
    *(Arm(strategy="nsga2", population_size=size) for size in NSGA2_POPULATIONS),
)


def hypervolumes(task: tuple[Arm, int, int], *, budgets: Sequence[int] = BUDGETS) -> list[float]:
    """Return the hypervolume after each budget of one arm on the landscape of one K and seed.

    Raises:
        IncorrectError: the search evaluated a genome twice, or another number of them than asked for.
    """
    arm, k, seed = task
    landscape = NKLandscape(k=k, seed=seed)
    problem: Problem[Genome] = Problem(
        space=landscape,
        expensive=("error",),
        cheap=lambda genome: {"price": landscape.price(genome)},
        cheap_objectives=("price",),
    )
    study: Study[Genome] = Study(space=landscape, objectives=problem.objectives)
    run(
        problem,
        make_strategy(arm.strategy, problem, arm.settings),
        study=study,
        executor=InProcessExecutor(partial(_evaluate, landscape)),
        num_evaluations=max(budgets),
        seed=seed,
    )
    history = study.history()
    if len(history) != max(budgets) or len(history.fingerprints) != max(budgets):
        raise IncorrectError(
            f"{arm.strategy} evaluated {len(history)} genomes, {len(history.fingerprints)} of them new."
        )
    points = history.points(list(history))
    return [hypervolume(points[:budget], (1.0, 1.0)) for budget in budgets]


def benchmark(options: Options) -> Document:
    """Run every arm on every landscape and compare."""
    num_seeds = 2 * NUM_SEEDS if options.full else NUM_SEEDS
    tasks = [(arm, k, seed) for arm in ARMS for k in RUGGEDNESS for seed in range(num_seeds)]
    num_processes = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(num_processes) as pool:
        found = dict(zip(tasks, pool.map(hypervolumes, tasks), strict=True))
    reached = {
        (arm, k, budget): np.array([found[arm, k, seed][place] for seed in range(num_seeds)])
        for arm in ARMS
        for k in RUGGEDNESS
        for place, budget in enumerate(BUDGETS)
    }
    best = {key: _best(reached, *key) for key in ((k, budget) for k in RUGGEDNESS for budget in BUDGETS)}
    return Document(
        benchmark="search_efficiency",
        device=describe_device("cpu", num_threads=num_processes),
        versions=versions("numpy", "optuna", "scipy"),
        figures=dict(_figures(reached, best)),
        claims=[*_claims(reached, best)],
    )


Values = NDArray[np.float64]
Reached = dict[tuple[Arm, int, int], Values]
"""Hypervolumes over seeds, by arm, K and evaluations."""


def _best(reached: Reached, k: int, budget: int) -> Arm:
    """Return nsga2 at its best population size."""
    return max((arm for arm in ARMS if arm.strategy == "nsga2"), key=lambda arm: reached[arm, k, budget].mean())


def _figures(reached: Reached, best: dict[tuple[int, int], Arm]) -> Iterable[tuple[str, Figure]]:
    for k in RUGGEDNESS:
        for budget in BUDGETS:
            for arm in ARMS:
                if arm.strategy == "nsga2" and arm != best[k, budget]:
                    continue
                values = reached[arm, k, budget]
                name = arm.strategy if arm.population_size is None else f"{arm.strategy} of {arm.population_size}"
                yield f"K = {k}, {budget} evaluations, {name}: mean", Figure(value=float(values.mean()), unit="")
                yield f"K = {k}, {budget} evaluations, {name}: deviation", Figure(value=float(values.std()), unit="")


def _claims(reached: Reached, best: dict[tuple[int, int], Arm]) -> Iterable[Claim]:
    surrogate, frontier = Arm(strategy="surrogate"), Arm(strategy="frontier")
    for k in RUGGEDNESS:
        at = REACHED_AT[k]
        yield _claim(
            f"K = {k}: surrogate after 100 evaluations reaches nsga2 after {at}, within a deviation",
            reached[surrogate, k, 100],
            reached[best[k, at], k, at],
        )
        for budget in BUDGETS:
            yield _claim(
                f"K = {k}: frontier after {budget} evaluations is not under nsga2, within a deviation",
                reached[frontier, k, budget],
                reached[best[k, budget], k, budget],
            )
            others = [arm for arm in ARMS if arm != surrogate]
            strongest = max(others, key=lambda arm: reached[arm, k, budget].mean())
            yield _claim(
                f"K = {k}: surrogate after {budget} evaluations is not under any other strategy, within a deviation",
                reached[surrogate, k, budget],
                reached[strongest, k, budget],
            )


def _claim(words: str, ours: Values, theirs: Values) -> Claim:
    return Claim.at_least(words, value=float(ours.mean()), bound=float(theirs.mean() - theirs.std()))


def _evaluate(landscape: NKLandscape, genome: Genome, seed: int) -> Outcome:
    del seed  # the landscape has no noise
    return Evaluated(objectives={"error": landscape.error(genome)})


if __name__ == "__main__":
    sys.exit(main(benchmark, description="Hypervolume per evaluation, by strategy, on NK landscapes."))
