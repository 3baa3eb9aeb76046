import dataclasses

import numpy as np
import pytest

from nas.candidates import Evaluated
from nas.engine import run
from nas.errors import ConfigError
from nas.evolution.grid import Grid
from nas.evolution.initialization import ExhaustedError
from nas.evolution.registry import make_strategy
from nas.evolution.strategy import Problem
from nas.executors.inprocess import InProcessExecutor
from nas.study import Study
from search_spaces import DepthWidthSpace, Dimensions

SPACE = DepthWidthSpace(depths=(3, 1, 2), hidden_sizes=(32, 16), vocab_size=100, dimensions=Dimensions(head_dim=16))


def problem(**changes):
    plain = Problem(
        space=SPACE,
        expensive=("error",),
        cheap=lambda genome: {"size": float(genome.num_blocks * genome.hidden_size)},
        cheap_objectives=("size",),
    )
    return dataclasses.replace(plain, **changes)


def search(asked, *, num_evaluations):
    study = Study(space=SPACE, objectives=asked.objectives)
    run(
        asked,
        make_strategy("grid", asked, {}),
        study=study,
        executor=InProcessExecutor(lambda genome, seed: Evaluated(objectives={"error": 1 / genome.num_blocks})),
        num_evaluations=num_evaluations,
        seed=0,
    )
    return [(record.genome.num_blocks, record.genome.hidden_size) for record in study.history()]


def test_the_grid_is_walked_once_from_small_to_large():
    found = search(problem(), num_evaluations=6)
    assert sorted(found) == [(depth, width) for depth in (1, 2, 3) for width in (16, 32)]
    sizes = [depth * width**2 for depth, width in found]
    assert sizes == sorted(sizes)


def test_a_budget_above_the_grid_ends_with_the_grid():
    assert len(search(problem(), num_evaluations=50)) == 6


def test_what_a_cheap_constraint_forbids_is_left_out():
    assert set(search(problem(constraints={"size": 32.0}), num_evaluations=6)) == {(1, 16), (2, 16), (1, 32)}


def test_several_proposals_at_once_differ_and_an_empty_grid_says_so():
    asked = problem()
    study = Study(space=SPACE, objectives=asked.objectives)
    strategy = Grid(problem=asked)
    rng = np.random.default_rng(0)
    proposed = strategy.propose(study.history(), [], num=9, rng=rng)
    assert len({proposal.genome for proposal in proposed}) == len(proposed) == 6
    with pytest.raises(ExhaustedError, match="0 of them"):
        Grid(problem=problem(constraints={"size": 1.0})).propose(study.history(), [], num=1, rng=rng)


def test_a_space_that_lists_nothing_is_refused(toy):
    with pytest.raises(ConfigError, match="lists its genomes; LetterSpace does not"):
        make_strategy("grid", toy.problem, {})
