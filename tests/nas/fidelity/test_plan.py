from dataclasses import replace

import numpy as np
import pytest

from nas.candidates import Evaluated
from nas.engine import run
from nas.errors import StudyError, UsageError
from nas.evolution.registry import make_strategy
from nas.fidelity.listed import Listed
from nas.fidelity.plan import FidelityPlan, make_plan
from nas.fidelity.sample import choose
from nas.fidelity.training import Training, TrainingSpace
from proxies.errors import FidelityError


@pytest.fixture
def history(toy):
    """Of 30 candidates and two repeats."""
    problem = replace(toy.problem, expensive=("perplexity",))
    study = type(toy.study())(space=toy.space, objectives=problem.objectives)
    executor = toy.executor(
        lambda genome, seed: Evaluated(
            objectives={"perplexity": 10.0 + sum((value - 2) ** 2 for value in genome) + seed}
        )
    )
    strategy = make_strategy("random", problem, {})
    run(problem, strategy, study=study, executor=executor, num_evaluations=30, num_repeats=2, seed=0)
    return study.history()


def planned(history, **changes):
    content = {"seed": 0, "before": None, "num_candidates": 10, "times": (), "num_seeds": None}
    return make_plan(history, **(content | changes))


def test_half_of_the_sample_is_of_the_frontier_and_the_rest_from_best_to_worst(history):
    frontier = {record.number for record in history.frontier()}
    chosen = choose(history, num=10, seed=0)
    assert len(set(chosen)) == 10
    assert min(5, len(frontier)) <= len(frontier & set(chosen))
    perplexity = {record.number: record.objectives["perplexity"] for record in history.finished()}
    rest = sorted(perplexity[number] for number in chosen if number not in frontier)
    every = sorted(value for number, value in perplexity.items() if number not in frontier)
    assert rest[0] <= every[len(every) // 3]
    assert rest[-1] >= every[2 * len(every) // 3]


def test_repeats_are_never_chosen_and_of_too_few_all_are(history):
    chosen = choose(history, num=1000, seed=0)
    assert chosen == sorted(record.number for record in history.finished())


def test_the_same_seed_chooses_the_same_and_another_one_others(history):
    samples = [choose(history, num=8, seed=seed) for seed in range(6)]
    assert choose(history, num=8, seed=0) == samples[0]
    assert len({tuple(sample) for sample in samples}) > 1


def test_a_larger_sample_keeps_what_was_chosen_before(history):
    before = planned(history)
    assert set(before.trials) < set(planned(history, before=before, num_candidates=20).trials)


def test_what_is_not_said_again_stays_as_it_was(history):
    before = planned(history, times=(3.0, 0.5), num_seeds=3)
    assert before.times == (0.5, 3.0)
    again = planned(history, before=before, num_candidates=None)
    assert again == before


def test_of_a_plan_too_small_to_say_anything_the_number_is_not_kept(history):
    small = FidelityPlan(trials=(0, 1, 2, 3), times=(4.0,), num_seeds=1, first_seed=1000)
    plan = planned(history, before=small, num_candidates=None)
    assert len(plan.trials) == 24
    assert set(small.trials) <= set(plan.trials)


def test_every_candidate_is_trained_at_every_length_under_every_seed_the_longest_first(history):
    plan = planned(history, times=(4.0, 0.5), num_seeds=2)
    trainings = plan.trainings(history)
    assert [training.times for training in trainings] == [4.0] * 20 + [0.5] * 20 + [0.0] * 10
    assert {training.seed for training in trainings} == {1000, 1001}
    assert len(set(trainings)) == len(trainings)


def test_a_plan_is_kept_and_a_damaged_one_is_an_error(history, tmp_path):
    assert FidelityPlan.load(tmp_path) is None
    plan = planned(history)
    plan.save(tmp_path)
    assert FidelityPlan.load(tmp_path) == plan
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(StudyError, match="begin anew"):
        FidelityPlan.load(tmp_path)


@pytest.mark.parametrize("times", [(0.5, 1.0), (-1.0, 4.0), (0.0, 4.0), (float("nan"), 4.0), (4.0, float("inf"))])
def test_lengths_that_say_nothing_of_longer_training_are_refused(history, times):
    with pytest.raises(UsageError, match="one at least above 1"):
        planned(history, times=times)


def test_fewer_than_five_candidates_are_refused(history):
    with pytest.raises(FidelityError, match="there are 4"):
        planned(history, num_candidates=4)


def test_trainings_survive_being_written_and_differ_by_all_that_they_are(toy):
    rng = np.random.default_rng(0)
    space = TrainingSpace(space=toy.space)
    training = Training(trial=7, genome=toy.space.sample(rng=rng), times=2.5, seed=3)
    assert space.from_dict(space.to_dict(training)) == training
    assert space.contains(training)
    assert not space.contains(replace(training, times=-1.0))
    mutated, _ = space.mutate(training, rng=rng)
    assert (mutated.trial, mutated.times, mutated.seed) == (None, 2.5, 3)
    assert mutated.genome != training.genome
    assert space.crossover(training, mutated, rng=rng).times == 2.5
    assert space.contains(space.sample(rng=rng))
    assert space.features(training)[-1] == 2.5


def test_a_list_is_proposed_in_its_order_and_nothing_twice(toy):
    genomes = [(2, 1, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1), (1, 1, 1, 1, 1, 1)]
    study = toy.study()
    listed = Listed(problem=toy.problem, genomes=genomes)
    for num in (1, 3, 3):
        run(toy.problem, listed, study=study, executor=toy.executor(), num_evaluations=num, seed=0)
    assert [record.genome for record in study.history()] == genomes
