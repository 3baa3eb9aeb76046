"""The strategies that draw from Optuna's own samplers."""

import json
import math
from dataclasses import replace

import numpy as np
import optuna
import pytest

from nas.candidates import Evaluated, Failed
from nas.engine import run
from nas.errors import ConfigError
from nas.evolution.optuna_trials import OptunaTrials, nsga2_sampler
from nas.evolution.registry import make_strategy, strategy_settings
from nas.pareto import hypervolume
from nas.storage.open import journal_storage

NAMES = ["nsga2", "tpe"]
each_strategy = pytest.mark.parametrize("name", NAMES)


def settings_of(name):
    return {"population_size": 8} if name == "nsga2" else {}


def search(toy, *, name="nsga2", study=None, executor=None, num_evaluations=30, seed=0):
    study = study or toy.study()
    run(
        toy.problem,
        make_strategy(name, toy.problem, settings_of(name)),
        study=study,
        executor=executor or toy.executor(),
        num_evaluations=num_evaluations,
        seed=seed,
    )
    return study.history()


def told(history):
    return [(r.number, r.genome, r.objectives, r.status, dict(r.candidate.proposal.sampling)) for r in history]


@each_strategy
def test_the_same_seed_proposes_the_same_genomes(toy, name):
    assert told(search(toy, name=name)) == told(search(toy, name=name))
    assert told(search(toy, name=name)) != told(search(toy, name=name, seed=1))


@each_strategy
def test_no_candidate_is_evaluated_twice(toy, name):
    assert len({record.genome for record in search(toy, name=name, num_evaluations=50)}) == 50


class Killed(BaseException):
    """Not an Exception: nothing in the engine may catch it."""


@each_strategy
@pytest.mark.parametrize("after", [0, 7, 8, 17, 29])
def test_a_run_killed_and_resumed_equals_one_that_was_not(toy, evaluate_toy, tmp_path, name, after):
    evaluated = []

    def killing(genome, seed):
        if len(evaluated) == after:
            raise Killed
        evaluated.append(genome)
        return evaluate_toy(genome, seed)

    path = tmp_path / "study.journal"
    with pytest.raises(Killed):
        search(toy, study=toy.study(journal_storage(path)), executor=toy.executor(killing), name=name)
    resumed = search(toy, study=toy.study(journal_storage(path)), name=name)
    assert told(resumed) == told(search(toy, name=name))


@each_strategy
def test_trials_made_again_at_every_step_propose_the_same(toy, evaluate_toy, name):
    whole = search(toy, name=name, num_evaluations=30)
    study = toy.study()
    for num in range(1, 31):  # a new strategy, which has kept nothing
        search(toy, name=name, study=study, num_evaluations=num)
    assert told(study.history()) == told(whole)


def test_parents_stay_those_of_when_their_generation_began(toy, evaluate_toy):
    """Two of the first generation end when the second has begun; a strategy that has kept nothing proposes the same."""

    def proposals(strategy_at):
        study, found = toy.study(), []
        for number in range(20):
            if number == 16:
                for late in (0, 1):
                    study.finish(late, evaluate_toy((2, 2, 2, 2, 2, 2 - late), 0))
            rng = np.random.default_rng((0, number))
            (proposal,) = strategy_at(number).propose(study.history(), study.running(), num=1, rng=rng)
            study.add(replace(toy.candidate(number, proposal.genome), proposal=proposal))
            if number >= 2:
                study.finish(number, Evaluated(objectives={"error": 1.0 + sum(proposal.genome)}))
            found.append(proposal)
        return found

    kept = make_strategy("nsga2", toy.problem, {"population_size": 8})
    found = proposals(lambda _: kept)
    assert proposals(lambda _: make_strategy("nsga2", toy.problem, {"population_size": 8})) == found
    assert [number for number, proposal in enumerate(found) if "notes" in proposal.sampling] == [10, 18]
    (parents,) = found[10].sampling["notes"].values()
    assert set(parents) == set(range(2, 10))


@each_strategy
def test_given_genomes_come_first(make, name):
    seeds = ((2, 2, 2, 2, 2, 2), (0, 0, 0, 0, 0, 0))
    history = search(make(initial=seeds), name=name, num_evaluations=30)
    assert tuple(record.genome for record in history[:2]) == seeds
    assert [record.candidate.proposal.origin for record in history[:3]] == ["seed", "seed", "suggested"]


@each_strategy
def test_every_candidate_meets_a_constraint_on_a_cheap_objective(make, name):
    history = search(make(constraints={"cost": 7.0}), name=name)
    assert all(record.objectives["cost"] <= 7.0 for record in history)


@each_strategy
def test_a_broken_constraint_on_an_expensive_objective_is_told_to_the_sampler(make, name):
    toy = make(constraints={"error": 12.0, "cost": 15.0})
    history = search(toy, name=name)
    trials = OptunaTrials(toy.problem)
    trials.follow(history, [])
    suggested = [record for record in history if record.candidate.proposal.sampling]
    for record, trial in zip(suggested, trials._study.get_trials(), strict=True):
        if record.status == "failed":
            assert trial.state is optuna.trial.TrialState.FAIL
        else:
            assert trial.constraints == {"error": record.objectives["error"] - 12.0}
            assert trial.values == [record.objectives["error"], record.objectives["cost"]]
            assert list(trial.params.values()) == list(record.genome)
    assert {record.status for record in history} == {"finished", "infeasible", "failed"}


def test_candidates_of_a_failing_region_are_no_parents(toy):
    history = search(toy, name="nsga2", num_evaluations=60)
    failed = {record.number for record in history if record.status == "failed"}
    parents = {
        number
        for record in history
        for numbers in record.candidate.proposal.sampling.get("notes", {}).values()
        for number in numbers
    }
    assert failed
    assert parents
    assert not failed & parents


def test_a_search_where_everything_fails_still_proposes(toy):
    history = search(toy, executor=toy.executor(lambda genome, seed: Failed("diverged", "always")))
    assert len({record.genome for record in history}) == 30


@each_strategy
def test_a_small_space_is_evaluated_to_its_end(make, name):
    assert len(search(make(length=2), name=name, num_evaluations=100)) == 16


def test_nsga2_dominates_more_than_random_search(toy):
    def volume(name, seed):
        history = search(toy, name=name, num_evaluations=80, seed=seed)
        return hypervolume([(math.log(error), cost) for error, cost in history.points(history.finished())], (5.0, 20.0))

    assert sum(volume("nsga2", seed) for seed in range(6)) > sum(volume("random", seed) for seed in range(6))


def test_tpe_finds_a_lower_error_than_random_search(toy):
    problem = replace(toy.problem, cheap=lambda _: {}, cheap_objectives=())
    alone = replace(toy, problem=problem)

    def lowest(name, seed):
        history = search(alone, name=name, num_evaluations=50, seed=seed)
        return min(record.objectives["error"] for record in history.finished())

    assert sum(lowest("tpe", seed) for seed in range(4)) < sum(lowest("random", seed) for seed in range(4))


def test_a_rejected_draw_is_drawn_again(toy):
    class Picky(type(toy.space)):
        def suggest(self, trial):
            genome = super().suggest(trial)
            if genome[1] == 0:
                raise optuna.TrialPruned
            return (9, *genome[1:]) if genome[0] == 0 else genome  # 9 is no digit of the space

    picky = replace(toy, problem=replace(toy.problem, space=Picky()))
    genomes = [record.genome for record in search(picky)]
    assert all(toy.space.contains(genome) and genome[0] != 0 and genome[1] != 0 for genome in genomes)


def test_samplers_draw_alike_from_the_same_seed(toy):
    first, second = OptunaTrials(toy.problem), OptunaTrials(toy.problem)
    assert [first.draw(nsga2_sampler(8), seed=seed).genome for seed in (3, 4)] == [
        second.draw(nsga2_sampler(8), seed=seed).genome for seed in (3, 4)
    ]


class WithoutParameters:
    def __init__(self, space):
        self._space = space

    def __getattr__(self, name):
        if name == "suggest":
            raise AttributeError(name)
        return getattr(self._space, name)


@each_strategy
def test_a_space_that_names_no_parameters_is_refused(toy, name):
    problem = replace(toy.problem, space=WithoutParameters(toy.space))
    with pytest.raises(ConfigError, match=r"offers suggest\(trial\); WithoutParameters does not.*aging, frontier"):
        make_strategy(name, problem, {})


def test_nsga2_has_generations_of_fifty_unless_told_and_at_least_two():
    assert strategy_settings("nsga2", {}) == {"population_size": 50}
    assert strategy_settings("frontier", {})["population_size"] == 20
    assert strategy_settings("tpe", {}) == {}
    with pytest.raises(ConfigError, match="population_size must be at least 2; got 1"):
        strategy_settings("nsga2", {"population_size": 1})


def test_a_study_written_before_there_were_samplers_is_read(toy):
    storage = optuna.storages.InMemoryStorage()
    toy.study(storage).add(toy.candidate(0, (1, 2, 0, 1, 2, 0)))
    (trial,) = storage.get_all_trials(0)
    written = json.loads(trial.user_attrs["candidate"])
    del written["sampling"]
    storage.set_trial_user_attr(0, "candidate", json.dumps(written))
    study = toy.study(storage)
    assert study.running()[0].proposal.sampling == {}
    assert len(search(toy, study=study)) == 30
