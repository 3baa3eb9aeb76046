from collections import Counter

import numpy as np
import pytest

from nas.candidates import Evaluated, Failed
from nas.engine import run
from nas.errors import ConfigError, SearchFailedError
from nas.evolution.imagination import Belief
from nas.evolution.registry import make_strategy
from nas.failure_policy import DEFAULT_POLICIES, failure_policies
from nas.storage.open import journal_storage


def search(toy, evaluate, *, study=None, num_evaluations=12, changes=None, name="random", **options):
    study = study or toy.study()
    run(
        toy.problem,
        make_strategy(name, toy.problem, {}),
        study=study,
        executor=toy.executor(evaluate),
        num_evaluations=num_evaluations,
        seed=0,
        failures=failure_policies(changes or {}),
        **options,
    )
    return study.history()


class Flaky:
    """Fails in one way the first few times that a genome is evaluated."""

    def __init__(self, evaluate, kind, *, times):
        self.evaluate, self.kind, self.times = evaluate, kind, times
        self.begun = Counter()

    def __call__(self, genome, seed):
        self.begun[genome] += 1
        if self.begun[genome] <= self.times:
            return Failed(self.kind, f"attempt {self.begun[genome]}")
        return self.evaluate(genome, seed)


@pytest.mark.parametrize("kind", ["lost_worker", "host_out_of_memory", "timeout"])
def test_what_the_machine_did_is_tried_again_under_the_same_number(toy, evaluate_toy, kind):
    flaky = Flaky(evaluate_toy, kind, times=1)
    history = search(toy, flaky, changes={kind: {"retries": 1}})
    assert len(history) == 12
    assert {record.attempts for record in history} == {(Failed(kind, "attempt 1"),)}
    assert set(flaky.begun.values()) == {2}
    assert any(record.status == "finished" for record in history)


def test_a_failure_that_comes_back_after_every_retry_counts(toy, evaluate_toy):
    flaky = Flaky(evaluate_toy, "lost_worker", times=10)
    history = search(toy, flaky, num_evaluations=3)
    assert {record.failure for record in history} == {Failed("lost_worker", "attempt 4")}
    assert {len(record.attempts) for record in history} == {3}


@pytest.mark.parametrize("kind", ["gpu_out_of_memory", "diverged", "unbuildable", "bug"])
def test_a_candidates_own_fault_is_never_tried_again(toy, evaluate_toy, kind):
    flaky = Flaky(evaluate_toy, kind, times=1)
    history = search(toy, flaky, num_evaluations=4)
    assert set(flaky.begun.values()) == {1}
    assert {record.failure.kind for record in history} == {kind}
    with pytest.raises(ConfigError, match=f"{kind} is the candidate's own fault and is not tried again"):
        failure_policies({kind: {"retries": 1}})


def test_attempts_outlive_the_process_that_wrote_them(toy, evaluate_toy, tmp_path):
    class KilledError(BaseException):
        pass

    def losing(genome, seed):
        raise KilledError

    path = tmp_path / "study.journal"
    study = toy.study(journal_storage(path))
    candidate = toy.candidate(0, (0,) * 6)
    study.add(candidate)
    study.retry(0, Failed("lost_worker", "the first"))
    with pytest.raises(KilledError):
        search(toy, losing, study=study, num_evaluations=1)
    flaky = Flaky(evaluate_toy, "lost_worker", times=2)
    resumed = toy.study(journal_storage(path))
    history = search(toy, flaky, study=resumed, num_evaluations=1, changes={"lost_worker": {"retries": 2}})
    assert [failure.message for failure in history[0].attempts] == ["the first", "attempt 1"]
    assert history[0].failure == Failed("lost_worker", "attempt 2")
    assert toy.study(journal_storage(path)).history()[0].attempts == history[0].attempts


def test_a_search_stops_where_one_failure_repeats_and_only_then(toy, evaluate_toy):
    def sometimes(genome, seed):
        return Failed("unbuildable", "no such width") if sum(genome) % 2 else evaluate_toy(genome, seed)

    changes = {"unbuildable": {"stop_after": 3}}
    with pytest.raises(SearchFailedError, match=r"3 candidates in a row failed \(unbuildable\).*no such width"):
        search(toy, lambda genome, seed: Failed("unbuildable", "no such width."), changes=changes)
    assert len(search(toy, sometimes, changes={"unbuildable": {"stop_after": 12}})) == 12
    assert len(search(toy, lambda genome, seed: Failed("bug", "each"), changes={"bug": {"stop_after": None}})) == 12


def test_only_what_is_penalised_reaches_the_model(toy):
    def failing(kind):
        def evaluate(genome, seed):
            if genome[0] == 3:
                return Failed(kind, "as told")
            return Evaluated(objectives={"error": 1.0 + genome[1]})

        return search(toy, evaluate, num_evaluations=60)

    penalised, infeasible = failing("diverged"), failing("unbuildable")
    assert len(penalised.penalised()) == sum(record.genome[0] == 3 for record in penalised) > 5
    assert infeasible.penalised() == []
    genomes = [(3, 0, 0, 0, 0, 0), (3, 0, 1, 1, 1, 1), (3, 0, 2, 0, 2, 0)]
    informed = Belief(toy.problem, penalised.finished(), worst=penalised.penalised())
    ignorant = Belief(toy.problem, infeasible.finished())
    assert np.all(informed.about(genomes)[0] > ignorant.about(genomes)[0])
    # What is as good as the best seen stays so: the failures add no point to the frontier.
    assert np.array_equal(informed.points, ignorant.points)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timout": {}}, r"Unknown kind of failure 'timout'.*timeout"),
        ({"timeout": {"retry": 1}}, r"no field 'retry'.*retries"),
        ({"timeout": {"retries": -1}}, r"timeout\.retries must be a whole number from 0 on; got -1"),
        ({"timeout": {"retries": True}}, r"got True"),
        ({"bug": {"stop_after": 0}}, r"bug\.stop_after must be a whole number from 1 on; got 0"),
        ({"bug": {"then": "ignore"}}, r"bug\.then must be infeasible or penalise; got 'ignore'"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        failure_policies(changes)


def test_policies_that_are_not_changed_stay():
    changed = failure_policies({"timeout": {"retries": 2}})
    assert changed["timeout"].retries == 2
    assert changed["timeout"].then == DEFAULT_POLICIES["timeout"].then
    assert {kind: policy for kind, policy in changed.items() if kind != "timeout"} == {
        kind: policy for kind, policy in DEFAULT_POLICIES.items() if kind != "timeout"
    }
