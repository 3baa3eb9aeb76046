import dataclasses

import numpy as np
import pytest

from dashboards.analysis.picking import candidates_to_pick, pick
from dashboards.figures import parallel
from dashboards.figures.parallel import evenly, opacity_of, parallel_figure, tick_text, ticks_of


def drawn(results, brush=None, *, chosen=None):
    candidates = candidates_to_pick(results)
    return candidates, parallel_figure(candidates, pick(candidates, brush or {}), chosen=chosen)


def num_lines(figure, name):
    trace = next(trace for trace in figure.data if trace.meta == name)
    return int(np.isnan(np.asarray(trace.x, dtype=float)).sum())


def test_every_candidate_is_a_line_across_all_axes(results):
    candidates, figure = drawn(results)
    num_frontier = int(candidates.is_frontier.sum())
    assert num_lines(figure, "frontier-in") == num_frontier
    assert num_lines(figure, "in") == len(candidates.rows) - num_frontier
    assert num_lines(figure, "out") == num_lines(figure, "frontier-out") == 0
    trace = next(trace for trace in figure.data if trace.meta == "in")
    steps = len(candidates.axes) + 1
    assert list(trace.x[: steps - 1]) == list(range(steps - 1))
    assert trace.y[: steps - 1] == pytest.approx(
        [axis.within(axis.values[:1])[0] for axis in candidates.axes], abs=1e-6
    )


def test_a_brush_splits_the_lines_and_is_drawn_on_its_axis(results):
    candidates, figure = drawn(results, {"depth": (10, 20)})
    inside = candidates.rows["depth"].between(10, 20)
    assert num_lines(figure, "in") + num_lines(figure, "frontier-in") == inside.sum()
    assert num_lines(figure, "out") + num_lines(figure, "frontier-out") == (~inside).sum()
    (shape,) = [shape for shape in figure.layout.shapes if shape.name == "brush depth"]
    place, axis = next((place, axis) for place, axis in enumerate(candidates.axes) if axis.name == "depth")
    assert shape.xanchor == place
    assert (shape.y0, shape.y1) == pytest.approx(tuple(axis.within(np.array([10.0, 20.0]))), abs=0.02)
    assert figure.layout.meta["brush"] == {"depth": [10, 20]}


def test_marks_of_the_frontier_carry_their_candidates(results):
    candidates, figure = drawn(results)
    trace = next(trace for trace in figure.data if trace.meta == "frontier-in")
    owners = {owner for owner in trace.customdata if owner is not None}
    assert owners == set(candidates.rows["number"][candidates.is_frontier])


def test_the_chosen_candidate_is_dashed(results):
    number = int(candidates_to_pick(results).rows["number"].iloc[0])
    _, figure = drawn(results, chosen=number)
    trace = next(trace for trace in figure.data if trace.meta == "chosen")
    assert (trace.name, trace.line.dash, num_lines(figure, "chosen")) == (f"#{number}", "dash", 1)


def test_a_crowd_is_sampled_evenly_but_its_frontier_is_whole(results, monkeypatch):
    monkeypatch.setattr(parallel, "MAX_LINES", 5)
    candidates, figure = drawn(results)
    assert num_lines(figure, "in") == 5
    assert num_lines(figure, "frontier-in") == candidates.is_frontier.sum()
    assert evenly(np.arange(10), 4).tolist() == [0, 2, 5, 7]
    assert evenly(np.arange(3), 4).tolist() == [0, 1, 2]


def test_ticks_are_round_and_inside(results):
    for axis in candidates_to_pick(results).axes:
        ticks = ticks_of(axis)
        assert 1 < len(ticks) <= 8
        assert all(axis.low <= tick <= axis.high for tick in ticks)
    depth = next(axis for axis in candidates_to_pick(results).axes if axis.name == "depth")
    assert tick_text(depth, 1000) == "1,000"


def test_labels_of_a_study_are_escaped(results):
    first = dataclasses.replace(results.objectives[0], label="<b>x</b>")
    _, figure = drawn(dataclasses.replace(results, objectives=(first, results.objectives[1])))
    texts = [annotation.text for annotation in figure.layout.annotations]
    assert any("&lt;b&gt;x" in text for text in texts)


def test_too_few_candidates_are_said(empty_results, failed_results):
    for nothing in (empty_results, failed_results):
        _, figure = drawn(nothing)
        assert "Too few" in figure.layout.annotations[0].text


def test_the_fewer_lines_the_darker_they_are():
    opacities = [opacity_of(count) for count in (0, 100, 1000, 10**6)]
    assert opacities == sorted(opacities, reverse=True)
    assert opacities[0] > 2 * opacities[-1] > 0
