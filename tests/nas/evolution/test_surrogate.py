"""The strategy that imagines before it evaluates: what it saves, when it doubts, and that resuming is replaying."""

import numpy as np
import pytest

from benchmarks.nk_landscape import NKLandscape
from nas.candidates import Evaluated, Failed
from nas.engine import run
from nas.evolution.registry import make_strategy
from nas.evolution.strategy import Problem
from nas.evolution.surrogate import batch_size, batch_start
from nas.executors.inprocess import InProcessExecutor
from nas.pareto import hypervolume
from nas.study import Study


def search(landscape, *, num_evaluations, strategy="surrogate", seed=0, evaluate=None, study=None, objectives=1):
    names = ("price", "genes_at_zero")[:objectives]
    problem = Problem(
        space=landscape,
        expensive=("error",),
        cheap=lambda genome: {"price": landscape.price(genome), "genes_at_zero": 1.0 + genome.count(0)},
        cheap_objectives=names,
    )
    study = study or Study(space=landscape, objectives=problem.objectives)
    run(
        problem,
        make_strategy(strategy, problem, {}),
        study=study,
        executor=InProcessExecutor(
            evaluate or (lambda genome, _: Evaluated(objectives={"error": landscape.error(genome)}))
        ),
        num_evaluations=num_evaluations,
        seed=seed,
    )
    return study


def volume(study):
    history = study.history()
    return hypervolume(history.points(history.finished()), (1.0,) * len(history.objectives))


def genomes(study):
    return [record.genome for record in study.history()]


def test_it_finds_more_than_evolution_alone_on_rugged_landscapes():
    def mean(strategy):
        return np.mean(
            [
                volume(search(NKLandscape(k=2, seed=seed), num_evaluations=70, strategy=strategy, seed=seed))
                for seed in range(3)
            ]
        )

    assert mean("surrogate") > mean("frontier") + 0.02 > mean("random") + 0.02


def test_a_search_resumed_within_a_batch_goes_on_with_it():
    landscape = NKLandscape(k=2, seed=1)
    whole = search(landscape, num_evaluations=160)
    assert batch_size(150) == 3
    resumed = search(landscape, num_evaluations=151)
    search(landscape, num_evaluations=160, study=resumed)
    assert genomes(resumed) == genomes(whole)


@pytest.mark.parametrize("first", [1, 20, 30])
def test_batches_follow_one_another_without_a_gap(first):
    starts = {batch_start(position, first=first) for position in range(first, 2000)}
    assert batch_start(first, first=first) == first
    assert sorted(starts) == [first, *(start + batch_size(start) for start in sorted(starts)[:-1])]


def test_failures_take_nothing_from_it():
    landscape = NKLandscape(k=0, seed=0)

    def evaluate(genome, _):
        if genome[0] == 1:
            return Failed("diverged", "The first gene is 1.")
        return Evaluated(objectives={"error": landscape.error(genome)})

    study = search(landscape, num_evaluations=60, evaluate=evaluate)
    failed = [record for record in study.history() if record.status == "failed"]
    assert failed
    assert len(study.history().fingerprints) == 60


def test_three_objectives_are_searched_as_well():
    study = search(NKLandscape(k=0, seed=0), num_evaluations=50, objectives=2)
    assert len(study.history().frontier()) > 5
    assert all(len(point) == 3 for point in study.history().points(study.history().frontier()))
