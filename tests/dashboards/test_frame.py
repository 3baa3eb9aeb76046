import dataclasses

import pandas as pd
import pytest

from dashboards.frame import COLUMNS, FrameError, Objective, Results, empty_frame, validate
from search_spaces import NasError


def test_the_empty_frame_has_every_column_and_obeys_the_contract():
    frame = empty_frame()
    assert set(frame.columns) == {column.name for column in COLUMNS} | {"perplexity", "latency_ms"}
    assert len(frame) == 0
    validate(frame, objectives=(Objective(column="perplexity", label="Perplexity"),))


def test_the_empty_frame_carries_the_objectives_of_the_study():
    frame = empty_frame(objectives=(Objective(column="energy_joules", label="Energy"),))
    assert frame["energy_joules"].dtype == "float64"
    assert "perplexity" not in frame.columns


def test_missing_columns_are_named_with_the_remedy():
    with pytest.raises(FrameError, match=r"missing: hidden_size, energy\. Start from empty_frame"):
        validate(empty_frame().drop(columns="hidden_size"), objectives=(Objective(column="energy", label="Energy"),))


def test_an_unknown_status_is_named(results):
    trials = results.trials.assign(status="done")
    with pytest.raises(FrameError, match=r"Column status may hold finished, .*; got done\."):
        validate(trials, objectives=results.objectives)


def test_a_number_met_twice_is_named(results):
    trials = pd.concat([results.trials, results.trials.iloc[[3]]], ignore_index=True)
    with pytest.raises(FrameError, match="got 3 more than once"):
        validate(trials, objectives=results.objectives)


def test_results_refuse_an_unknown_state_and_no_objectives(results):
    with pytest.raises(FrameError, match="got 'done'"):
        dataclasses.replace(results, state="done")
    with pytest.raises(FrameError, match="at least one objective"):
        Results(title="x", trials=empty_frame(), objectives=(), planned_evaluations=1, state="running")


def test_errors_of_the_frame_are_nas_errors_with_an_exit_code():
    assert issubclass(FrameError, NasError)
    assert FrameError.exit_code == 1
