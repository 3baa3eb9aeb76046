import json
import math
from pathlib import Path

import pytest

from nas.candidates import Evaluated, Failed
from nas.engine import run
from nas.errors import InfeasibleError, SearchFailedError
from nas.evolution.registry import make_strategy
from nas.executors.inprocess import InProcessExecutor
from nas.pareto import hypervolume
from nas.storage.open import journal_storage

GOLDEN = Path(__file__).parent / "golden" / "genomes.json"
SETTINGS = {"population_size": 8, "tournament_size": 6}


def search(toy, *, study=None, executor=None, name="frontier", num_evaluations=30, num_repeats=0, seed=0):
    study = study or toy.study()
    settings = {} if name == "random" else SETTINGS
    run(
        toy.problem,
        make_strategy(name, toy.problem, settings),
        study=study,
        executor=executor or toy.executor(),
        num_evaluations=num_evaluations,
        num_repeats=num_repeats,
        seed=seed,
    )
    return study.history()


def genomes(history):
    return [record.genome for record in sorted(history, key=lambda record: record.number)]


NAMES = ["aging", "frontier", "random", "surrogate"]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_proposes_the_same_genomes(toy, name):
    assert genomes(search(toy, name=name)) == genomes(search(toy, name=name))
    assert genomes(search(toy, name=name)) != genomes(search(toy, name=name, seed=1))


@pytest.mark.parametrize("name", NAMES)
def test_no_candidate_is_evaluated_twice(toy, name):
    history = search(toy, name=name, num_evaluations=60)
    assert len(set(genomes(history))) == 60


@pytest.mark.parametrize("name", [name for name in NAMES if name != "surrogate"])  # its choices are of floating point
def test_a_search_proposes_the_genomes_it_always_proposed(toy, name):
    # A change of the golden file changes what every existing run would do on resume.
    digits = ["".join(map(str, genome)) for genome in genomes(search(toy, name=name, num_evaluations=28))]
    assert digits == json.loads(GOLDEN.read_text())[name]


def test_aging_finds_a_lower_error_than_random_search(toy):
    def lowest(name, seed):
        return min(
            record.objectives["error"] for record in search(toy, name=name, num_evaluations=80, seed=seed).finished()
        )

    assert sum(lowest("aging", seed) for seed in range(5)) < sum(lowest("random", seed) for seed in range(5))


def test_frontier_dominates_more_than_random_search(toy):
    def volume(name, seed):
        history = search(toy, name=name, num_evaluations=80, seed=seed)
        return hypervolume([(math.log(error), cost) for error, cost in history.points(history.finished())], (5.0, 20.0))

    assert sum(volume("frontier", seed) for seed in range(5)) > sum(volume("random", seed) for seed in range(5))


def test_failures_are_recorded_and_never_become_parents(toy):
    history = search(toy, num_evaluations=60)
    failed = {record.number for record in history if record.status == "failed"}
    assert failed
    assert not failed & {record.parent for record in history}
    assert all(record.genome[0] == 3 for record in history if record.number in failed)


def test_initial_genomes_come_first(make):
    seeds = ((2, 2, 2, 2, 2, 2), (0, 0, 0, 0, 0, 0))
    history = search(make(initial=seeds))
    assert tuple(genomes(history)[:2]) == seeds
    assert [record.candidate.proposal.origin for record in history[:3]] == ["seed", "seed", "random"]


def test_every_candidate_meets_a_constraint_on_a_cheap_objective(make):
    history = search(make(constraints={"cost": 7.0}), num_evaluations=40)
    assert all(record.objectives["cost"] <= 7.0 for record in history)


def test_a_constraint_on_the_expensive_objective_makes_trials_infeasible(make):
    history = search(make(constraints={"error": 12.0}), num_evaluations=40)
    assert {record.status for record in history} == {"finished", "infeasible", "failed"}
    assert all(record.objectives["error"] <= 12.0 for record in history.frontier())


def test_a_budget_nothing_meets_names_the_smallest_that_would_do(make):
    with pytest.raises(InfeasibleError, match=r"cost <= 0\.5, while the smallest found in the space is 1\b"):
        search(make(constraints={"cost": 0.5}))


def test_a_small_space_is_evaluated_to_its_end(make):
    history = search(make(length=2), num_evaluations=100, num_repeats=3)
    candidates = [record for record in history if not record.is_repeat]
    assert len(candidates) == len(set(genomes(candidates))) == 16
    assert sum(record.is_repeat for record in history) == 3


def test_repeats_come_last_under_another_seed_and_are_no_candidates(toy):
    history = search(toy, num_evaluations=20, num_repeats=4)
    repeats = [record for record in history if record.is_repeat]
    assert [record.number for record in repeats] == [20, 21, 22, 23]
    assert {record.candidate.seed for record in repeats} == {1}
    assert len({record.candidate.proposal.repeat_of for record in repeats}) == 4
    assert not {record.number for record in history.frontier()} & {20, 21, 22, 23}


def test_an_exception_in_one_evaluation_is_a_recorded_bug(toy, evaluate_toy):
    def sometimes(genome, seed):
        if genome[1] == 0:
            raise RuntimeError("broken kernel")
        return evaluate_toy(genome, seed)

    history = search(toy, executor=toy.executor(sometimes))
    bugs = [record for record in history if record.failure is not None and record.failure.kind == "bug"]
    assert bugs
    assert all("RuntimeError: broken kernel" in record.failure.message for record in bugs)
    assert len(history) == 30


def test_bugs_in_a_row_stop_the_run_and_lose_nothing(toy):
    def always(genome, seed):
        raise RuntimeError("broken everywhere")

    study = toy.study()
    with pytest.raises(SearchFailedError, match="5 candidates in a row failed \\(bug\\)"):
        search(toy, study=study, executor=toy.executor(always))
    assert len(study.history()) == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_objective_that_is_not_finite_is_a_divergence(toy, value):
    history = search(
        toy, executor=toy.executor(lambda genome, seed: Evaluated(objectives={"error": value})), num_evaluations=3
    )
    assert {record.failure.kind for record in history} == {"diverged"}


def test_an_objective_that_is_missing_is_a_bug_naming_it(toy):
    history = search(
        toy, executor=toy.executor(lambda genome, seed: Evaluated(objectives={"eror": 1.0})), num_evaluations=3
    )
    assert all(record.failure == Failed("bug", record.failure.message) for record in history)
    assert "returned no error. Did you mean 'eror'?" in history[0].failure.message


class Killed(BaseException):
    """Not an Exception: nothing in the engine may catch it."""


@pytest.mark.parametrize("name", ["aging", "frontier"])
@pytest.mark.parametrize("after", [0, 1, 7, 8, 19, 29])
def test_a_run_killed_and_resumed_equals_one_that_was_not(toy, evaluate_toy, tmp_path, name, after):
    evaluated = []

    def killing(genome, seed):
        if len(evaluated) == after:
            raise Killed
        evaluated.append(genome)
        return evaluate_toy(genome, seed)

    def counting(genome, seed):
        evaluated.append(genome)
        return evaluate_toy(genome, seed)

    path = tmp_path / "study.journal"
    with pytest.raises(Killed):
        search(toy, study=toy.study(journal_storage(path)), executor=toy.executor(killing), name=name)
    history = search(toy, study=toy.study(journal_storage(path)), executor=toy.executor(counting), name=name)
    whole = search(toy, name=name)
    assert [(r.number, r.genome, r.objectives) for r in history] == [(r.number, r.genome, r.objectives) for r in whole]
    assert len(evaluated) == len(set(evaluated)) == 30


def test_what_was_in_flight_is_evaluated_again_under_its_own_number(toy, tmp_path):
    path = tmp_path / "study.journal"
    study = toy.study(journal_storage(path))
    for number, genome in enumerate([(1, 1, 1, 1, 1, 1), (2, 1, 1, 1, 1, 1), (0, 1, 1, 1, 1, 1)]):
        study.add(toy.candidate(number, genome))
    study.finish(1, Evaluated(objectives={"error": 1.0}))
    history = search(toy, study=toy.study(journal_storage(path)), num_evaluations=3)
    assert [(record.number, record.genome[0]) for record in history] == [(1, 2), (0, 1), (2, 0)]


class Batches(InProcessExecutor):
    """Holds several candidates and gives back all of them at once."""

    capacity = 8

    def wait(self, *, timeout_s):
        ended = []
        while self._queue:
            ended += super().wait(timeout_s=timeout_s)
        return ended


def test_what_ended_together_with_the_last_bug_is_on_record_too(toy, tmp_path, evaluate_toy):
    evaluated = []

    def evaluate(genome, seed):
        evaluated.append(genome)
        if len(evaluated) <= 5:
            raise RuntimeError("broken at first")
        return evaluate_toy(genome, seed)

    path = tmp_path / "study.journal"
    with pytest.raises(SearchFailedError, match="5 candidates in a row"):
        search(toy, study=toy.study(journal_storage(path)), executor=Batches(evaluate))
    study = toy.study(journal_storage(path))
    assert len(study.history()) == 8
    assert study.running() == []
    search(toy, study=study, executor=Batches(evaluate))
    assert len(evaluated) == 30


def test_a_failure_of_an_unknown_kind_is_a_bug_that_names_the_near_miss(toy):
    history = search(toy, executor=toy.executor(lambda genome, seed: Failed("time_out", "slow")), num_evaluations=3)
    assert {record.failure.kind for record in history} == {"bug"}
    assert "'time_out'. Did you mean 'timeout'" in history[0].failure.message
