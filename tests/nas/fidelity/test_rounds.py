from dataclasses import replace

import pytest

from nas.candidates import Evaluated, History
from nas.engine import run
from nas.evolution.registry import make_strategy
from nas.fidelity.plan import FidelityPlan
from nas.fidelity.rounds import Rounds


@pytest.fixture
def history(toy):
    """Of 30 candidates, some of which failed, and two repeats."""
    problem = replace(toy.problem, expensive=("perplexity",))
    study = type(toy.study())(space=toy.space, objectives=problem.objectives)

    def evaluate(genome, seed):
        if genome[0] == 3:
            raise ValueError("the first digit is 3")
        return Evaluated(objectives={"perplexity": 10.0 + sum((value - 2) ** 2 for value in genome) + seed})

    strategy = make_strategy("random", problem, {})
    run(problem, strategy, study=study, executor=toy.executor(evaluate), num_evaluations=30, num_repeats=2, seed=0)
    return study.history()


def rounds(**changes):
    return Rounds(**({"every": 6, "candidates": 3, "times": 4.0, "seed": 0} | changes))


def chosen(history, num, **changes):
    found: list[int] = []
    for position in range(1, num + 1):
        found += rounds(**changes).chosen_in(position, history, before=found)
    return found


def cut(history, num):
    return History(list(history)[:num], objectives=history.objectives, space=history.space)


def test_a_round_is_due_after_every_so_many_that_finished_and_failures_and_repeats_do_not_count(history):
    num_finished = len(history.finished())
    assert num_finished < 30 < len(history)
    assert rounds().num_due(history) == num_finished // 6
    assert rounds(every=num_finished).num_due(history) == 1
    assert rounds(every=num_finished + 1).num_due(history) == 0


def test_what_ends_later_changes_no_round(history):
    reached = next(place for place in range(len(history)) if rounds().num_due(cut(history, place)) == 2)
    assert chosen(cut(history, reached), 2) == chosen(history, 2)


def test_every_round_adds_so_many_others_and_the_best_so_far_is_among_all(history):
    finished = [record for record in history if record.status == "finished" and not record.is_repeat]
    found: list[int] = []
    for position in (1, 2, 3):
        new = rounds().chosen_in(position, history, before=found)
        assert len(new) == 3
        assert not set(new) & set(found)
        found += new
        best = min(finished[: 6 * position], key=lambda record: (record.objectives["perplexity"], record.number))
        assert best.number in found


def test_a_round_that_asks_for_all_takes_all(history):
    finished = [record.number for record in history if record.status == "finished" and not record.is_repeat]
    assert sorted(chosen(history, 2, candidates=6)) == sorted(finished[:12])


def test_a_plan_keeps_what_the_command_asked_for():
    own = rounds().own_plan([5, 2])
    assert own == FidelityPlan(trials=(2, 5), times=(4.0,), num_seeds=1, first_seed=1000)
    asked = FidelityPlan(trials=(1, 2), times=(0.5, 10.0), num_seeds=2, first_seed=1000)
    assert own.joined_with(None) == own
    assert own.joined_with(asked) == FidelityPlan(
        trials=(1, 2, 5), times=(0.5, 4.0, 10.0), num_seeds=2, first_seed=1000
    )
