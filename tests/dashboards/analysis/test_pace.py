import dataclasses

import pandas as pd
import pytest

from dashboards.analysis.pace import TimeLeft, ended, median_evaluation_s, time_left, working_time


def test_time_left_is_what_is_missing_at_the_pace_of_the_last_results(results):
    left = time_left(results)
    # One result every 3.1 minutes on the way, some of them repeats and what was over a limit.
    rows = ended(results)
    span = (rows["finished_at"].max() - rows["finished_at"].min()).total_seconds()
    assert left.num_results == len(rows) - 1 == 32
    assert left.seconds == pytest.approx((48 - 33) * span / 32, rel=1e-6)


def test_time_left_counts_no_break(results):
    trials = results.trials.copy()
    late = trials["finished_at"] > pd.Timestamp("2026-11-20T10:00Z")
    for column in ("started_at", "finished_at"):
        trials.loc[late, column] += pd.Timedelta(days=3)
    broken = time_left(dataclasses.replace(results, trials=trials))
    assert broken.seconds == pytest.approx(time_left(results).seconds, rel=0.03)


@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_a_search_that_does_not_run_has_no_time_left(results, state):
    assert time_left(dataclasses.replace(results, state=state)) is None


def test_a_pace_is_not_told_from_few_results_nor_from_none(results, empty_results, failed_results):
    few = dataclasses.replace(results, trials=results.trials[results.trials["number"] < 5])
    assert time_left(few) is None
    assert time_left(empty_results) is None
    assert time_left(failed_results) is None
    assert time_left(dataclasses.replace(results, planned_evaluations=33)) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3.0, "about 10 s"),
        (95.0, "about 100 s"),
        (754.0, "about 13 min"),
        (7812.0, "about 2 h 10 min"),
        (7201.0, "about 2 h"),
        (3.1 * 86400, "about 3 days"),
    ],
)
def test_time_left_is_said_as_roughly_as_it_is_known(seconds, words):
    assert TimeLeft(seconds=seconds, num_results=50).words == words


def test_a_slow_evaluation_is_no_break(results):
    trials = results.trials.copy()
    # Every evaluation takes an hour, one result an hour: three of these are no break yet.
    trials["started_at"] = trials["finished_at"] - pd.Timedelta(hours=1)
    late = trials["finished_at"] > pd.Timestamp("2026-11-20T10:00Z")
    for column in ("started_at", "finished_at"):
        trials.loc[late, column] += pd.Timedelta(hours=2)
    slow = dataclasses.replace(results, trials=trials)
    assert median_evaluation_s(slow) == 3600
    assert working_time(slow).breaks == ()


def test_hours_begin_with_the_first_dispatch_and_never_run_backwards(results):
    hours = working_time(results).hours
    assert hours.iloc[0] == pytest.approx(4 / 60)
    assert hours.is_monotonic_increasing
    never = results.trials.assign(started_at=results.trials["started_at"].where(results.trials["number"] < 0))
    assert working_time(dataclasses.replace(results, trials=never)).hours.iloc[0] == 0
