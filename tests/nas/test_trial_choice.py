import pytest

from nas.candidates import Evaluated
from nas.errors import UsageError
from nas.trial_choice import choose_trials


@pytest.fixture
def history(toy):
    study = toy.study()
    for number, (digit, error) in enumerate([(0, 100.0), (1, 10.0), (2, 9.0), (3, 50.0)]):
        genome = (2, digit, digit, digit, digit, digit)
        study.add(toy.candidate(number, genome))
        study.finish(number, Evaluated(objectives={"error": error}))
    return study.history()


def numbers(records):
    return [record.number for record in records]


def test_trials_are_chosen_by_number_best_knee_and_frontier(history):
    assert numbers(choose_trials(history, "3")) == [3]
    assert numbers(choose_trials(history, "best")) == [2]
    assert numbers(choose_trials(history, "knee")) == [1]
    assert numbers(choose_trials(history, "frontier")) == [0, 1, 2]


def test_an_unknown_choice_says_what_there_is(history, toy):
    with pytest.raises(UsageError, match="ended are 0 to 3"):
        choose_trials(history, "4")
    with pytest.raises(UsageError, match="a number, best, knee or frontier; got 'worst'"):
        choose_trials(history, "worst")
    with pytest.raises(UsageError, match="got '²'"):
        choose_trials(history, "²")
    with pytest.raises(UsageError, match="no trial has finished"):
        choose_trials(toy.study().history(), "best")
    with pytest.raises(UsageError, match="none has ended yet"):
        choose_trials(toy.study().history(), "0")
