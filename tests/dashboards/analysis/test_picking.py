import dataclasses

import numpy as np
import pandas as pd
import pytest

from dashboards.analysis.picking import candidates_to_pick, pick
from dashboards.frame import NUM_PARAMETERS


def axis_of(candidates, name):
    return next(axis for axis in candidates.axes if axis.name == name)


def test_axes_end_with_the_objectives_the_first_last(results):
    names = [axis.name for axis in candidates_to_pick(results).axes]
    assert names[-3:] == ["num_parameters", "latency_ms", "perplexity"]
    assert names[:2] == ["hidden_size", "depth"]


def test_an_objective_that_is_also_a_column_is_one_axis(results):
    three = dataclasses.replace(results, objectives=(*results.objectives, NUM_PARAMETERS))
    names = [axis.name for axis in candidates_to_pick(three).axes]
    assert names[-3:] == ["num_parameters", "latency_ms", "perplexity"]
    assert len(set(names)) == len(names)


def test_ranges_pick_out_what_lies_in_all_of_them(results):
    candidates = candidates_to_pick(results)
    picked = pick(candidates, {"depth": (10, 20), "latency_ms": (0.5, 1.5)})
    rows = candidates.rows
    expected = rows["depth"].between(10, 20) & rows["latency_ms"].between(0.5, 1.5)
    assert picked.mask.tolist() == expected.tolist()
    assert 0 < picked.mask.sum() < len(rows)


def test_the_ends_of_an_axis_as_a_link_writes_them_pick_all(results):
    candidates = candidates_to_pick(results)
    for axis in candidates.axes:
        ends = (float(f"{axis.low:.6g}"), float(f"{axis.high:.6g}"))
        assert pick(candidates, {axis.name: ends}).mask.tolist() == np.isfinite(axis.values).tolist()


def test_a_column_that_is_no_axis_is_named_and_picks_nothing_away(results):
    picked = pick(candidates_to_pick(results), {"colour": (0, 1)})
    assert picked.unknown == ("colour",)
    assert picked.mask.all()


def test_a_candidate_without_a_value_lies_outside_every_range(results):
    trials = results.trials.copy()
    number = candidates_to_pick(results).rows["number"].iloc[0]
    trials.loc[trials["number"] == number, "depth"] = pd.NA
    candidates = candidates_to_pick(dataclasses.replace(results, trials=trials))
    picked = pick(candidates, {"depth": (-1e9, 1e9)})
    assert candidates.rows["number"][~picked.mask].tolist() == [number]


def test_candidates_without_finite_objectives_are_counted(results):
    trials = results.trials.copy()
    first, second = candidates_to_pick(results).rows["number"].iloc[:2]
    trials.loc[trials["number"] == first, "perplexity"] = np.inf
    trials.loc[trials["number"] == second, "latency_ms"] = np.nan
    candidates = candidates_to_pick(dataclasses.replace(results, trials=trials))
    assert candidates.num_without == 2
    assert not candidates.rows["number"].isin([first, second]).any()


def test_the_frontier_comes_last_and_repeats_are_no_candidates(results):
    candidates = candidates_to_pick(results)
    assert candidates.is_frontier.tolist() == sorted(candidates.is_frontier.tolist())
    assert candidates.is_frontier.any()
    assert "repeat" not in set(candidates.rows["origin"])


def test_places_run_from_the_low_end_to_the_high_one(results):
    axis = axis_of(candidates_to_pick(results), "latency_ms")
    for is_log in (False, True):
        places = dataclasses.replace(axis, is_log=is_log).within(np.array([axis.low, axis.high]))
        assert places.tolist() == pytest.approx([0, 1])


def test_numbers_of_an_axis_are_written_without_empty_digits(results):
    candidates = candidates_to_pick(results)
    assert axis_of(candidates, "latency_ms").written(0.5) == "0.5"
    assert axis_of(candidates, "hidden_size").written(2000.0) == "2,000"
    assert axis_of(candidates, "num_parameters").written(3e8) == "300 M"


def test_nothing_finished_is_no_error(empty_results, failed_results):
    for nothing in (empty_results, failed_results):
        candidates = candidates_to_pick(nothing)
        assert (len(candidates.rows), candidates.axes) == (0, ())
        assert pick(candidates, {"depth": (1, 2)}).mask.size == 0
