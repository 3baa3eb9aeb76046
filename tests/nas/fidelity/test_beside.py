"""Longer trainings beside a search of a space that is no language model, on an executor that is real."""

import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import pairwise

import pytest

from nas.candidates import Evaluated, Failed
from nas.engine import run
from nas.errors import SearchFailedError
from nas.evolution.registry import make_strategy
from nas.executors.executor import Executor
from nas.executors.shared import SharedExecutor
from nas.executors.threads import ThreadsExecutor
from nas.failure_policy import DEFAULT_POLICIES
from nas.fidelity.beside import LongerTrainings
from nas.fidelity.journal import open_study
from nas.fidelity.rounds import Rounds
from nas.fidelity.training import Training
from proxies.errors import FidelityError

NUM = 20


class Killed(BaseException):
    """Stands for kill -9: what is under way is gone, what is written stays."""


def outcome(genome, seed):
    return Evaluated(objectives={"perplexity": 10.0 + sum((value - 2) ** 2 for value in genome) + 0.001 * seed})


class Search:
    """A search with rounds, over a journal on disk."""

    def __init__(self, toy, folder):
        self.toy, self.folder = toy, folder
        self.problem = replace(toy.problem, expensive=("perplexity",))
        self.study = type(toy.study())(space=toy.space, objectives=self.problem.objectives)
        self.trained = []
        self.notices = []
        self.recorded = []

    def evaluate(self, genome, seed):
        if not isinstance(genome, Training):
            return outcome(genome, seed)
        self.trained.append(genome)
        return self.train(genome)

    def train(self, training):
        return outcome(training.genome, training.seed)

    def __call__(self, *, num=NUM, threads=1, beside=True):
        executor = SharedExecutor(ThreadsExecutor(self.evaluate, num_threads=threads))
        try:
            longer = self.longer(executor) if beside else None
            strategy = make_strategy("frontier", self.problem, {"population_size": 6})
            run(
                self.problem,
                strategy,
                study=self.study,
                executor=executor,
                num_evaluations=num,
                seed=0,
                beside=longer,
            )
            if longer is not None:
                longer.finish(tick=lambda: None)
        finally:
            executor.shutdown()
        return [record.genome for record in sorted(self.study.history(), key=lambda record: record.number)]

    def longer(self, executor):
        return LongerTrainings(
            Rounds(every=5, candidates=1, times=4.0, seed=0),
            history=self.study.history(),
            folder=self.folder / "fidelity",
            study=open_study(self.folder / "fidelity", space=self.toy.space, notice=self.notices.append),
            executor=executor,
            failures=DEFAULT_POLICIES,
            record=self.record,
            notice=self.notices.append,
            uninterrupted=nullcontext,
        )

    def record(self, plan, trainings):
        if len(plan.trials) < 3:
            raise FidelityError("There are too few.")
        self.recorded.append(sorted(record.genome.trial for record in trainings if record.genome.times))
        return f"{len(plan.trials)} trained longer."


@pytest.fixture
def search(toy, tmp_path):
    return Search(toy, tmp_path)


def test_the_search_proposes_what_it_does_without_them(search, toy, tmp_path):
    assert search() == Search(toy, tmp_path / "other")(beside=False)


def test_every_round_is_trained_once_and_scored_without_training(search):
    search()
    assert sorted(training.times for training in search.trained) == [0.0] * 4 + [4.0] * 4
    assert len({training.trial for training in search.trained}) == 4
    search(num=NUM + 5)
    assert len(search.trained) == 10
    assert len(set(search.trained)) == 10


def test_half_of_the_room_at_most_is_theirs(search):
    executor = SharedExecutor(ThreadsExecutor(search.evaluate, num_threads=4))
    search(num=NUM)
    search.folder = search.folder / "again"
    longer = search.longer(executor)
    assert len(longer) == 2
    assert executor.capacity == 2
    executor.shutdown()


def test_no_more_run_at_once_than_there_is_room_and_the_two_take_turns(search):
    running, most, order = set(), [], []

    def counted(evaluate):
        def run_one(genome, seed=0):
            running.add(genome)
            most.append(len(running))
            order.append(isinstance(genome, Training))
            time.sleep(0.002)
            running.discard(genome)
            return evaluate(genome, seed)

        return run_one

    search.evaluate = counted(search.evaluate)
    search(threads=1)
    assert max(most) == 1
    assert not any(first and second for first, second in pairwise(order[:17]))
    again = Search(search.toy, search.folder / "again")
    again.evaluate = counted(again.evaluate)
    most.clear()
    again(num=40, threads=3)
    assert max(most) <= 3


def test_killed_while_one_trains_that_one_is_trained_again_and_no_other(search):
    num_before = 3

    def train(training):
        if len(search.trained) > num_before:
            raise Killed
        return outcome(training.genome, training.seed)

    search.train = train
    # The executor turns what an evaluation raises into its outcome; here the search itself ends.
    executor = SharedExecutor(ThreadsExecutor(search.evaluate, num_threads=1))
    taken = executor.take_beside

    def take():
        outcomes = taken()
        if any(isinstance(ended, Failed) for _, ended in outcomes):
            raise Killed
        return outcomes

    executor.take_beside = take
    longer = search.longer(executor)
    strategy = make_strategy("frontier", search.problem, {"population_size": 6})
    with pytest.raises(Killed):
        run(search.problem, strategy, study=search.study, executor=executor, num_evaluations=NUM, seed=0, beside=longer)
    executor.shutdown()
    finished, interrupted = search.trained[:num_before], search.trained[num_before]
    search.trained = []
    search.train = lambda training: outcome(training.genome, training.seed)
    search()
    assert interrupted in search.trained
    assert not set(finished) & set(search.trained)
    assert len(finished) + len(search.trained) == 8


class AllAtOnce(Executor):
    """Everything it was given ends in the same moment."""

    capacity = 4

    def __init__(self, evaluate):
        self.evaluate, self.queue = evaluate, []

    def submit(self, candidate):
        self.queue.append(candidate)

    def wait(self, *, timeout_s):
        queue, self.queue = self.queue, []
        return [(candidate.number, self.evaluate(candidate.genome, candidate.seed)) for candidate in queue]

    def shutdown(self):
        self.queue.clear()


@pytest.mark.parametrize("moment", range(1, 12, 2))
def test_an_interrupt_loses_nothing_that_ended_whichever_work_it_is_of(search, moment):
    evaluated, left = [], iter(range(moment))

    def evaluate(genome, seed):
        evaluated.append(genome)
        return search.evaluate(genome, seed)

    @contextmanager
    def uninterrupted():
        yield
        if len(evaluated) > 8 and next(left, None) is None:
            raise Killed

    executor = SharedExecutor(AllAtOnce(evaluate))
    longer = search.longer(executor)
    strategy = make_strategy("frontier", search.problem, {"population_size": 6})
    settings = {"study": search.study, "executor": executor, "num_evaluations": 60, "seed": 0, "beside": longer}
    with pytest.raises(Killed):
        run(search.problem, strategy, uninterrupted=uninterrupted, **settings)
    trained = open_study(search.folder / "fidelity", space=search.toy.space, notice=print).history()
    assert [genome for genome in evaluated if isinstance(genome, Training)] == [record.genome for record in trained]
    assert len(evaluated) == len(search.study.history()) + len(trained)


def test_a_lost_worker_is_tried_again_and_said(search):
    search.train = lambda training: (
        outcome(training.genome, 0) if search.trained.count(training) > 1 else Failed("lost_worker", "It is gone.")
    )
    search(num=5)
    assert [search.trained.count(training) for training in set(search.trained)] == [2, 2]
    assert any("for 4 times as long begins once more (lost_worker)" in words for words in search.notices)


def test_bugs_in_a_row_end_the_search(search):
    search.train = lambda training: Failed("bug", f"trial {training.trial}")
    with pytest.raises(SearchFailedError, match="5 candidates in a row"):
        search(num=50)


def test_the_record_is_kept_while_the_search_runs_and_at_its_end(search):
    search()
    assert len(search.recorded) > 1
    assert search.recorded[-1] == sorted(training.trial for training in search.trained if training.times)
    assert search.notices.count("4 trained longer.") == 1


def test_too_few_for_a_record_is_said_at_the_end(search):
    search(num=5)
    assert search.notices == ["No record of fidelity: There are too few."]


def test_a_search_that_reaches_no_round_says_so(search):
    search(num=4)
    assert search.notices == ["No record of fidelity: the search finished fewer than 5 candidates."]
