"""The engine as a library."""

import asyncio
import math
import pickle
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import nas
from nas import Failed, History, optimize
from nas.candidates import Evaluated
from nas.errors import ConfigError, InfeasibleError, RunDirectoryError, SearchFailedError, StudyError
from nas.executors.inprocess import InProcessExecutor
from nas.optimization import _Evaluation

ROOT = Path(__file__).parents[2]
SMALL = ("frontier", {"population_size": 6, "tournament_size": 4})
EVERY_STRATEGY = ["aging", "frontier", "nsga2", "random", "surrogate", "tpe"]


def error(genome):
    return {"error": 1.0 + sum((value - 2) ** 2 * (place + 1) for place, value in enumerate(genome))}


def cost(genome):
    return {"cost": 1.0 + sum(genome)}


def told(history):
    return [(record.number, record.genome, record.objectives, record.status) for record in history]


class Counting:
    """Evaluates, and knows what it was asked; raises or fails as told."""

    def __init__(self, function=error, *, killed_after=None):
        self.function, self.killed_after, self.genomes = function, killed_after, []

    def __call__(self, genome):
        if len(self.genomes) == self.killed_after:
            raise Killed
        self.genomes.append(genome)
        return self.function(genome)


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


@pytest.mark.parametrize("strategy", EVERY_STRATEGY)
@pytest.mark.parametrize("price", [cost, None], ids=["cheap", "alone"])
def test_every_strategy_optimises_any_space(toy, strategy, price):
    evaluate = Counting()
    history = optimize(toy.space, evaluate, cheap=price, strategy=strategy, num_evaluations=25, seed=0)
    assert isinstance(history, History)
    assert history.objectives == (("error", "cost") if price else ("error",))
    assert len(history) == len(evaluate.genomes) == len(set(evaluate.genomes)) == 25
    assert all(
        record.objectives == error(record.genome) | (price or dict)(record.genome if price else ())
        for record in history
    )
    assert history.frontier()
    assert len(history.results_frame()) == 25


@pytest.mark.parametrize("strategy", ["frontier", "surrogate"])
def test_the_same_seed_gives_the_same_candidates(toy, strategy):
    def search(seed):
        return told(optimize(toy.space, error, cheap=cost, strategy=strategy, num_evaluations=25, seed=seed))

    assert search(0) == search(0)
    assert search(0) != search(1)


def test_it_proposes_what_the_engine_proposes(toy):
    study = toy.study()
    known = optimize(toy.space, error, cheap=cost, strategy=SMALL, num_evaluations=30, seed=0, study=study)
    assert told(optimize(toy.space, error, cheap=cost, strategy=SMALL, num_evaluations=30, seed=0)) == told(known)
    assert study.num_trials == 30


def test_objectives_are_named_by_the_first_candidate_that_evaluates(toy):
    def sometimes(genome):
        if len(evaluate.genomes) <= 2:
            return Failed("diverged", "not yet")
        if len(evaluate.genomes) == 3:
            raise RuntimeError("broken")
        return error(genome) | {"noise": 0.5 + genome[0]}

    evaluate = Counting(sometimes)
    history = optimize(toy.space, evaluate, cheap=cost, strategy=SMALL, num_evaluations=20, seed=0)
    assert history.objectives == ("error", "noise", "cost")
    assert [record.number for record in history] == list(range(20))
    assert len(evaluate.genomes) == len(set(evaluate.genomes)) == 20
    assert [record.status for record in history[:4]] == ["failed", "failed", "failed", "finished"]
    assert [record.failure.kind for record in history[:3]] == ["diverged", "diverged", "bug"]
    assert "RuntimeError: broken" in history[2].failure.message


def test_a_search_where_nothing_evaluates_returns_the_failures(toy):
    history = optimize(toy.space, lambda _: Failed("diverged", "no"), cheap=cost, num_evaluations=7, seed=0)
    assert [record.failure for record in history] == [Failed("diverged", "no")] * 7
    assert history.frontier() == []
    assert len(history.results_frame()) == 7


@pytest.mark.parametrize("study", ["a file", None])
def test_bugs_in_a_row_end_the_search(toy, tmp_path, study):
    evaluate = Counting(lambda _: 1 / 0)
    path = tmp_path / "study.journal" if study else None
    with pytest.raises(SearchFailedError, match="ZeroDivisionError"):
        optimize(toy.space, evaluate, num_evaluations=30, seed=0, study=path)
    assert len(evaluate.genomes) == 5


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_objective_that_is_not_finite_is_a_failure(toy, value):
    history = optimize(
        toy.space,
        lambda genome: {"error": value if genome[0] else 1.0},
        num_evaluations=20,
        seed=0,
    )
    assert {(record.genome[0] > 0, record.status) for record in history} == {(True, "failed"), (False, "finished")}
    assert {record.failure.kind for record in history if record.failure} == {"diverged"}


@pytest.mark.parametrize("returned", [None, 3.0, {}, "text"])
def test_what_is_no_mapping_of_objectives_is_a_bug_that_says_so(toy, returned):
    history = optimize(toy.space, lambda _: returned, num_evaluations=3, seed=0)
    assert {record.failure.kind for record in history} == {"bug"}
    assert f"it returned {returned!r}" in history[0].failure.message


def test_a_missing_objective_is_a_bug(toy):
    history = optimize(
        toy.space,
        lambda genome: error(genome) if genome[:2] != (0, 0) else {"eror": 1.0},
        initial=[(1,) * 6, (0,) * 6],
        num_evaluations=30,
        seed=0,
    )
    bugs = [record for record in history if record.genome[:2] == (0, 0)]
    assert bugs
    assert all("returned no error" in record.failure.message for record in bugs)


def test_constraints_bound_cheap_and_expensive_objectives(toy):
    history = optimize(
        toy.space,
        error,
        cheap=cost,
        constraints={"cost": 12.0, "error": 25.0},
        strategy=SMALL,
        num_evaluations=40,
        seed=0,
    )
    assert all(record.objectives["cost"] <= 12.0 for record in history)
    assert {(record.objectives["error"] > 25.0, record.status) for record in history} == {
        (True, "infeasible"),
        (False, "finished"),
    }


def test_a_bound_that_nothing_meets_names_the_smallest_found(toy):
    with pytest.raises(InfeasibleError, match=r"cost <= 0\.5, while the smallest found in the space is 1\b"):
        optimize(toy.space, error, cheap=cost, constraints={"cost": 0.5}, num_evaluations=3, seed=0)


def test_given_genomes_are_evaluated_first(toy):
    given = [(2, 2, 2, 2, 2, 2), (0, 0, 0, 0, 0, 0)]
    history = optimize(toy.space, error, initial=given, num_evaluations=5, seed=0)
    assert [record.genome for record in history[:2]] == given


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"initial": [(9,) * 6]}, r"initial\[0\] does not lie in the space: \(9, 9"),
        ({"num_evaluations": 0}, "num_evaluations must be a positive integer; got 0"),
        ({"parallelism": 0}, "parallelism must be a positive integer; got 0"),
        ({"parallelism": 2, "executor": InProcessExecutor}, "Leave one of the two out"),
        ({"strategy": "surogate"}, "Did you mean 'surrogate'?"),
        ({"strategy": ("random", {"population_size": 3})}, "has no setting 'population_size'"),
        ({"constraints": {"cots": 1.0}}, "A constraint bounds an objective; got 'cots'. Did you mean 'cost'?"),
        ({"cheap": error}, "got 'error' from both functions"),
    ],
)
def test_an_argument_that_breaks_a_rule_is_one_clear_error(toy, arguments, message):
    with pytest.raises(ConfigError, match=message):
        optimize(toy.space, error, **{"cheap": cost, "num_evaluations": 3, "seed": 0} | arguments)


@pytest.mark.parametrize("strategy", ["surrogate", ("nsga2", {"population_size": 6})])
@pytest.mark.parametrize("after", [0, 1, 2, 12, 24])
def test_a_search_killed_and_resumed_from_its_file_equals_one_that_was_not(toy, tmp_path, strategy, after):
    def failing_first(genome):
        return Failed("diverged", "digit 1") if genome[0] == 1 else error(genome)

    path = tmp_path / "study.journal"
    arguments = {"cheap": cost, "strategy": strategy, "num_evaluations": 25, "seed": 0}
    whole = optimize(toy.space, failing_first, **arguments)
    first, second = Counting(failing_first, killed_after=after), Counting(failing_first)
    with pytest.raises(Killed):
        optimize(toy.space, first, **arguments, study=path)
    assert told(optimize(toy.space, second, **arguments, study=path)) == told(whole)
    assert set(first.genomes) | set(second.genomes) == {record.genome for record in whole}
    again = Counting(failing_first)
    assert told(optimize(toy.space, again, **arguments, study=str(path))) == told(whole)
    assert again.genomes == []


def test_a_larger_budget_goes_on_where_the_search_ended(toy, tmp_path):
    arguments = {"cheap": cost, "strategy": SMALL, "seed": 0}
    path = tmp_path / "study.journal"
    optimize(toy.space, error, **arguments, num_evaluations=10, study=path)
    longer = optimize(toy.space, error, **arguments, num_evaluations=20, study=path)
    assert told(longer) == told(optimize(toy.space, error, **arguments, num_evaluations=20))


def test_a_study_of_other_objectives_is_refused(toy, tmp_path):
    path = tmp_path / "study.journal"
    optimize(toy.space, error, num_evaluations=3, seed=0, study=path)
    with pytest.raises(StudyError, match="minimises error; the cheap objectives are cost"):
        optimize(toy.space, error, cheap=cost, num_evaluations=5, seed=0, study=path)


def test_several_evaluations_run_at_once(toy):
    together = threading.Barrier(3, timeout=20)

    def waiting(genome):
        together.wait()  # raises unless three are here
        return error(genome)

    history = optimize(toy.space, waiting, cheap=cost, strategy=SMALL, num_evaluations=30, seed=0, parallelism=3)
    assert len({record.genome for record in history}) == 30
    assert {record.status for record in history} == {"finished"}
    assert sorted(record.number for record in history) == list(range(30))


def test_an_executor_is_made_from_the_evaluation_or_given(toy):
    arguments = {"cheap": cost, "strategy": SMALL, "num_evaluations": 10, "seed": 0}
    plain = optimize(toy.space, error, **arguments)
    assert told(optimize(toy.space, error, **arguments, executor=InProcessExecutor)) == told(plain)

    class Kept(InProcessExecutor):
        def shutdown(self):
            raise AssertionError("it belongs to the caller")

    kept = Kept(lambda genome, _: Evaluated(objectives=error(genome)))
    assert told(optimize(toy.space, error, **arguments, executor=kept)) == told(plain)


def test_an_evaluation_can_be_sent_to_other_processes():
    assert pickle.loads(pickle.dumps(_Evaluation(error)))((2,) * 6, 0) == Evaluated(objectives={"error": 1.0})


def test_importing_nas_loads_nothing_heavy_and_optimising_no_torch():
    code = (
        "import sys, nas; before = set(sys.modules); nas.optimize; "
        "print(*({'numpy', 'optuna', 'scipy'} & before), *({'torch', 'ray', 'pydantic'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == ""
    assert nas.optimize is optimize
    with pytest.raises(AttributeError, match="optimise"):
        _ = nas.optimise


def test_the_example_in_the_documentation_runs(capsys):
    example = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "optimize.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example.group(1), "docs/optimize.md", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out.splitlines()
    lengths = [int(re.search(r"'length': (\d+)", line).group(1)) for line in printed]
    assert len(lengths) > 5
    assert lengths == sorted(lengths)


def test_an_evaluation_that_never_returns_is_a_timeout_and_the_search_goes_on(toy):
    def hangs(genome):
        while genome[0] == 1:
            time.sleep(0.01)
        return {"error": float(sum(genome))}

    history = optimize(toy.space, hangs, strategy="random", num_evaluations=12, seed=0, deadline_s=0.2)
    assert len(history) == 12
    overdue = {record.number for record in history if record.failure is not None}
    assert overdue == {record.number for record in history if record.genome[0] == 1}
    assert {record.failure.kind for record in history if record.failure is not None} == {"timeout"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"deadline_s": 0}, "deadline_s must be a positive number of seconds"),
        ({"deadline_s": 1.0, "executor": InProcessExecutor}, "An executor has its own deadline"),
        ({"frontier_repeats": -1}, "frontier_repeats must be zero or a positive integer; got -1"),
        ({"failures": {"bugs": {}}}, "Unknown kind of failure 'bugs'"),
    ],
)
def test_limits_that_mean_nothing_are_refused(toy, arguments, words):
    with pytest.raises(ConfigError, match=words):
        optimize(toy.space, lambda genome: {"error": 1.0}, num_evaluations=3, seed=0, **arguments)


def test_a_function_that_takes_a_seed_is_evaluated_under_new_ones_where_it_matters(toy):
    seeds = []

    def noisy(genome, *, seed):
        seeds.append(seed)
        return {"error": float(np.random.default_rng([seed, *genome]).normal())}

    history = optimize(toy.space, noisy, strategy="random", num_evaluations=10, seed=3, frontier_repeats=2)
    assert set(seeds) == {3, 4, 5}
    assert all(record.num_evaluations == 3 for record in history.frontier())


@pytest.mark.parametrize("kind", ["lost_worker", "timeout"])
def test_what_fails_before_the_objectives_have_names_is_tried_again_too(toy, kind):
    begun = []

    def flaky(genome):
        begun.append(genome)
        return Failed(kind, "once") if begun.count(genome) == 1 else {"error": float(sum(genome))}

    failures = {kind: {"retries": 1}} if kind == "timeout" else None
    history = optimize(toy.space, flaky, strategy="random", num_evaluations=5, seed=0, failures=failures)
    assert [len(record.attempts) for record in history] == [1] * 5
    assert {record.status for record in history} == {"finished"}
    assert len(begun) == 10


def stuck(space, **changes):
    """Return a space like another, but neither mutation nor crossover leaves a genome."""

    class Stuck(type(space)):
        def mutate(self, genome, *, rng):
            return genome, "nothing"

        def crossover(self, first, second, *, rng):
            return first

    return Stuck(**changes)


@pytest.mark.parametrize("strategy", EVERY_STRATEGY)
def test_a_mutation_that_cannot_leave_a_point_makes_no_duplicates_and_no_hang(toy, strategy):
    history = optimize(stuck(toy.space), error, cheap=cost, strategy=strategy, num_evaluations=30, seed=0)
    assert len({record.genome for record in history}) == len(history) == 30


def test_a_space_of_one_genome_is_evaluated_once(toy):
    history = optimize(stuck(toy.space, num_values=1), error, cheap=cost, num_evaluations=30, seed=0)
    assert [record.genome for record in history] == [(0,) * 6]


@pytest.mark.parametrize("parallelism", [1, 3])
def test_an_evaluation_that_is_cancelled_is_a_bug_and_no_hang(toy, parallelism):
    def cancelled(genome):
        if genome[0] % 2:
            raise asyncio.CancelledError
        return error(genome)

    history = optimize(
        toy.space, cancelled, strategy="random", num_evaluations=12, seed=0, parallelism=parallelism,
        failures={"bug": {"stop_after": None}},
    )  # fmt: skip
    assert {record.failure.kind for record in history if record.failure is not None} == {"bug"}
    assert len(history) == 12


def test_what_failed_beside_the_first_that_evaluates_is_not_evaluated_again(toy):
    begun = []
    together = threading.Barrier(4)

    def evaluate(genome):
        begun.append(genome)
        if len(begun) <= 4:
            together.wait()
        return Failed("diverged", "as told") if genome[0] < 3 else error(genome)

    history = optimize(toy.space, evaluate, strategy="random", num_evaluations=20, seed=1, parallelism=4)
    assert len(begun) == len(set(begun)) == len(history) == 20


def test_with_objectives_named_failures_are_on_record_from_the_first_one(toy, tmp_path):
    evaluate = Counting(lambda genome: Failed("diverged", "always"))
    arguments = {"objectives": ["error"], "strategy": "random", "seed": 0, "study": tmp_path / "s.journal"}
    assert len(optimize(toy.space, evaluate, num_evaluations=6, **arguments)) == 6
    assert len(optimize(toy.space, evaluate, num_evaluations=8, **arguments)) == 8
    assert len(evaluate.genomes) == 8
    with pytest.raises(StudyError, match="minimises error; asked for are other"):
        optimize(toy.space, evaluate, num_evaluations=8, **{**arguments, "objectives": ["other"]})


@pytest.mark.parametrize("number", [np.int64, np.float32])
def test_cheap_objectives_may_be_numbers_of_any_library(toy, tmp_path, number):
    def price(genome):
        return {"cost": number(sum(genome))}

    path = tmp_path / "s.journal"
    history = optimize(toy.space, error, cheap=price, num_evaluations=30, seed=0, study=path)
    assert {type(record.objectives["cost"]) for record in history} == {float}
    with pytest.raises(ConfigError, match="A cheap objective is a number; got cost='x'"):
        optimize(toy.space, error, cheap=lambda genome: {"cost": "x"}, num_evaluations=3, seed=0)


def test_a_cheap_objective_that_reaches_zero_breaks_no_model(toy):
    # Of the first candidates none is zero, and the values are skewed: their logarithm suits them.
    def price(genome):
        return {"cost": float(2 ** sum(genome) - 1)}

    history = optimize(toy.space, error, cheap=price, num_evaluations=60, seed=0)
    assert len(history) == 60


def test_a_study_of_another_space_is_refused(toy, tmp_path):
    path = tmp_path / "s.journal"
    optimize(toy.space, error, num_evaluations=12, seed=0, study=path)
    smaller = type(toy.space)(length=6, num_values=2)
    with pytest.raises(StudyError, match="made in another space: its trial"):
        optimize(smaller, error, num_evaluations=20, seed=0, study=path)


def test_a_torn_journal_is_repaired_and_a_second_writer_refused(toy, tmp_path, caplog):
    path = tmp_path / "s.journal"
    whole = told(optimize(toy.space, error, num_evaluations=12, seed=0, study=tmp_path / "whole.journal"))
    optimize(toy.space, error, num_evaluations=8, seed=0, study=path)
    with path.open("ab") as file:
        file.write(b'{"op_code": 8, "tor')
    assert told(optimize(toy.space, error, num_evaluations=12, seed=0, study=path)) == whole
    assert "19 bytes were cut" in caplog.text

    refused = []

    def nested(genome):
        try:
            optimize(toy.space, error, num_evaluations=20, seed=0, study=path)
        except RunDirectoryError as problem:
            refused.append(str(problem))
        return error(genome)

    optimize(toy.space, nested, num_evaluations=14, seed=0, study=path)
    assert len(refused) == 2
    assert "One search at a time may write" in refused[0]
