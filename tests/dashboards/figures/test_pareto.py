import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from dashboards.analysis.plane import CROWD, plane_of
from dashboards.analysis.selection import candidates, frontier
from dashboards.figures.pareto import pareto_figure
from dashboards.figures.pareto_references import beyond_sentence, placed_references
from dashboards.frame import LATENCY_MS, PERPLEXITY, Objective, Reference
from dashboards.view import View

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")
THIRD = Objective(column="num_parameters", label="Size")
VIEWS = (
    View(),
    View(x="perplexity", y="latency_ms"),
    View(x="num_parameters", y="depth", x_scale="log", y_scale="log"),
    View(x="perplexity", y="perplexity"),
    View(x="finish_index", x_scale="log"),
    View(budget=1.2, trial=17),
    View(budget=-3.0, trial=999, x_scale="log"),
    View(hide=("finished", "failed", "random"), find="m2"),
)


def draw(results, view=View(), **changes):  # noqa: B008 - a view is never changed
    return pareto_figure(plane_of(dataclasses.replace(results, **changes), view))


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def words(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def frames(figure):
    """Return the places of what is framed, by the shape of the frame."""
    return {
        "circle" if "C" in shape.path else "square": (shape.xanchor, shape.yanchor)
        for shape in figure.layout.shapes
        if shape.xsizemode == "pixel"
    }


def marks(figure):
    return [trace for trace in figure.data if "markers" in trace.mode]


def numbers(figure):
    return [int(number) for trace in marks(figure) if trace.customdata is not None for number in trace.customdata]


def crowd_of(results, num_trials):
    """Return the results with its trials repeated at places around their own."""
    finished = results.trials[(results.trials["status"] == "finished") & (results.trials["origin"] != "repeat")]
    rng = np.random.default_rng(5)
    rows = finished.iloc[np.arange(num_trials) % len(finished)].reset_index(drop=True)
    rows["number"] = np.arange(num_trials)
    rows["latency_ms"] *= np.exp(rng.normal(0, 0.2, num_trials))
    rows["is_frontier"] = False
    rows.loc[:4, "is_frontier"] = True
    return dataclasses.replace(results, trials=rows)


def reference(name, **figures):
    return Reference(name=name, figures=figures, pattern="(a f)x12")


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.query() or "default")
@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize(
    "objectives", [(PERPLEXITY,), (PERPLEXITY, LATENCY_MS), (PERPLEXITY, LATENCY_MS, THIRD)], ids=len
)
def test_every_study_can_be_drawn_over_any_axes(study, view, objectives, request):
    figure = draw(request.getfixturevalue(study), view, objectives=objectives, knee=17)
    assert figure.layout.height > 0
    assert json.loads(figure.to_json())["layout"]["template"]
    assert figure.data or words(figure)


def test_every_candidate_with_a_latency_has_exactly_one_mark(results):
    rows = candidates(results)
    assert sorted(numbers(draw(results))) == sorted(rows[rows["latency_ms"].notna()]["number"])


def test_the_frontier_is_a_falling_line_of_steps(results):
    (line,) = traces(draw(results), "frontier")
    assert line.line.shape == "hv"
    assert list(line.x) == sorted(line.x)
    assert list(line.y) == sorted(line.y, reverse=True)
    assert len(line.x) == results.trials["is_frontier"].sum()


def test_over_other_axes_the_members_stay_filled_without_a_line(results):
    figure = draw(results, View(x="depth", y="num_parameters"))
    assert not traces(figure, "frontier")
    filled = [trace for trace in marks(figure) if not trace.marker.symbol.endswith("open")]
    assert sum(len(trace.x) for trace in filled) == results.trials["is_frontier"].sum()


def test_frontier_dominated_failed_and_infeasible_differ_without_colour(results):
    looks = {trace.name: trace.marker.symbol for trace in marks(draw(results))}
    assert len(set(looks.values())) == len(looks)
    assert {"random", "evolved", "failed", "over a limit", "running", "evolved, frontier"} <= set(looks)


def test_candidates_without_a_score_stand_in_named_rows_with_their_message_escaped(results):
    figure = draw(results)
    (failed,) = traces(figure, "failed")
    assert failed.yaxis == "y2"
    assert figure.layout.yaxis2.ticktext[int(failed.y[0])] == "failed"
    text = " ".join(failed.hovertext).replace("<br>", " ")
    assert "&lt;script&gt;alert('x')&lt;/script&gt;" in text
    assert "<script>" not in text


def test_repeats_are_no_marks_of_their_own(results):
    drawn = numbers(draw(results))
    assert 17 in drawn
    assert 36 not in drawn


def test_a_limit_close_to_the_candidates_is_drawn_and_one_far_away_is_not(results):
    assert "limit 2.3 ms" in words(draw(results))
    assert not any(text.startswith("limit") for text in words(draw(results, limits={"latency_ms": 50.0})))


def test_three_objectives_draw_no_line_but_say_the_third_on_hover(results):
    figure = draw(results, objectives=(PERPLEXITY, LATENCY_MS, THIRD))
    assert not traces(figure, "frontier")
    assert "Size 8" in " ".join(label for trace in figure.data for label in trace.hovertext or ())


def test_one_objective_is_drawn_over_the_order_of_finishing(results):
    figure = draw(results, objectives=(PERPLEXITY,))
    assert figure.layout.xaxis.title.text == "Order of finishing"
    finished = candidates(results)["status"] == "finished"
    assert sum(len(trace.x) for trace in marks(figure) if trace.yaxis != "y2") == finished.sum()


def test_logarithmic_objectives_get_logarithmic_axes_unless_the_reader_wants_others(results):
    objectives = (dataclasses.replace(PERPLEXITY, log=True), dataclasses.replace(LATENCY_MS, log=True))
    layout = draw(results, objectives=objectives).layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "log")
    layout = draw(results, View(x_scale="linear"), objectives=objectives).layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("linear", "log")


def test_a_column_that_spans_more_than_a_decade_gets_a_logarithmic_axis(results):
    assert draw(results, View(x="num_parameters")).layout.xaxis.type == "linear"
    wide = results.trials.assign(num_parameters=[10**6 * 2 ** (number % 6) for number in results.trials["number"]])
    layout = draw(results, View(x="num_parameters"), trials=wide).layout
    assert layout.xaxis.type == "log"
    assert "10.0 M" in layout.xaxis.ticktext


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (View(), "better ↙"),
        (View(x="depth"), "better ↓"),
        (View(y="depth"), "better ←"),
        (View(x="depth", y="hidden_size"), None),
    ],
)
def test_the_arrow_points_along_the_axes_that_are_minimised(results, view, text):
    found = [word for word in words(draw(results, view)) if word.startswith("better")]
    assert found == ([text] if text else [])


def test_zoom_is_kept_over_a_redraw_and_not_over_other_axes(results):
    assert draw(results, View(trial=3)).layout.uirevision == draw(results).layout.uirevision
    others = {draw(results, view).layout.uirevision for view in (View(), View(x="depth"), View(x_scale="log"))}
    assert len(others) == 3


def test_stopped_candidates_stand_where_they_were_expected_to_end(results):
    trials = results.trials.copy()
    is_dominated = (trials["status"] == "finished") & ~trials["is_frontier"] & (trials["origin"] != "repeat")
    dominated = trials[is_dominated].index[0]
    expected = trials.loc[dominated, "perplexity"]
    trials.loc[dominated, ["status", "perplexity", "expected"]] = ["stopped", None, expected]
    figure = draw(results, trials=trials)
    (stopped,) = traces(figure, "stopped early, as expected")
    assert list(stopped.y) == pytest.approx([expected])
    assert "Stopped early" in stopped.hovertext[0]


def test_filters_hide_marks_and_never_the_line(results):
    figure = draw(results, View(hide=("dominated", "mutation", "failed")))
    rows = candidates(results).set_index("number").loc[numbers(figure)]
    assert not set(rows["status"]) & {"failed"}
    assert not set(rows["origin"]) & {"mutation"}
    assert rows[rows["status"] == "finished"]["is_frontier"].all()
    assert len(traces(figure, "frontier")[0].x) == len(frontier(results))


def test_a_search_finds_a_pattern_or_a_number(results):
    drawn = numbers(draw(results, View(find=" m2  f ")))
    patterns = candidates(results).set_index("number")["pattern"]
    assert drawn
    assert sorted(drawn) == sorted(patterns.index[patterns.str.contains("m2 f") & (patterns.index != 28)])
    assert numbers(draw(results, View(find="#17"))) == [17]
    assert words(draw(results, View(find="no such"))) == ["No candidate is left by the filters."]


def test_the_knee_is_named(results):
    knee = int(frontier(results)["number"].iloc[3])
    figure = draw(results, knee=knee)
    assert f"<b>knee</b> #{knee}" in words(figure)
    assert f"#{knee}" not in words(figure)
    assert len([text for text in words(figure) if text.startswith("#")]) > 3


def test_a_budget_frames_the_best_within_it_and_veils_the_rest(results):
    figure = draw(results, View(budget=1.2))
    rows = candidates(results)
    within = rows[(rows["status"] == "finished") & (rows["latency_ms"] <= 1.2)]
    best = within.loc[within["perplexity"].idxmin()]
    assert frames(figure)["square"] == pytest.approx((best["latency_ms"], best["perplexity"]))
    assert f"budget 1.2 ms, pick #{best['number']}" in words(figure)
    assert [shape.x0 for shape in figure.layout.shapes if shape.opacity] == [1.2]


@pytest.mark.parametrize("view", [View(budget=0.001), View(budget=1.2, x="depth")])
def test_without_anything_to_pick_nothing_is_framed(results, view):
    assert not frames(draw(results, view))


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_picture_ends_where_it_did_before_a_budget_was_set(results, scale):
    without, within = (draw(results, View(budget=budget, x_scale=scale)).layout.xaxis for budget in (None, 1.2))
    assert without == within


def test_the_candidate_looked_at_gets_a_ring_where_it_stands(results):
    trials = results.trials.set_index("number")
    ring = frames(draw(results, View(trial=17)))["circle"]
    assert ring == pytest.approx((trials.loc[17, "latency_ms"], trials.loc[17, "perplexity"]))
    figure = draw(results, View(trial=21))
    (failed,) = traces(figure, "failed")
    assert frames(figure)["circle"][1] == failed.y[0]
    assert not frames(draw(results, View(trial=28)))
    assert len(figure.data) == len(draw(results).data)


def test_the_spread_over_seeds_is_drawn_along_the_axis_of_the_first_objective(results):
    trials = results.trials.assign(deviation=results.trials["perplexity"] * 0.01)
    upwards = marks(draw(results, trials=trials))
    assert any(trace.error_y.array is not None for trace in upwards)
    assert not any(trace.error_x.array is not None for trace in upwards)
    turned = marks(draw(results, View(x="perplexity", y="latency_ms"), trials=trials))
    assert any(trace.error_x.array is not None for trace in turned)
    other = marks(draw(results, View(y="depth"), trials=trials))
    assert not any(trace.error_y.array is not None for trace in other)


def test_a_candidate_of_one_seed_has_no_whisker_not_one_of_zero(results):
    known = results.trials["number"] == results.trials["number"].max() // 2
    trials = results.trials.assign(deviation=(results.trials["perplexity"] * 0.01).where(known))
    figure = draw(results, trials=trials)
    sent = json.loads(figure.to_json())["data"]
    spreads = [trace["error_y"]["array"] for trace in sent if "error_y" in trace]
    assert spreads
    # As a list, what is not known would travel as null, which is drawn as zero.
    assert all(isinstance(spread, dict) for spread in spreads)


def test_in_a_crowd_only_the_frontier_is_described_and_shows_its_spread(results):
    crowd = crowd_of(results, CROWD + 1)
    crowd = dataclasses.replace(crowd, trials=crowd.trials.assign(deviation=0.3))
    figure = draw(crowd)
    members = [trace for trace in marks(figure) if "frontier" in trace.name]
    by_browser = [trace for trace in marks(figure) if trace not in members]
    assert {trace.type for trace in marks(figure)} == {"scattergl"}
    assert sum(len(trace.x) for trace in by_browser) == CROWD + 1 - 5
    assert all(trace.hovertext is None and trace.error_y.array is None for trace in by_browser)
    assert sum(len(trace.hovertext) for trace in members) == 5
    assert all(trace.error_y.array is not None for trace in members)
    assert sorted(numbers(figure)) == list(range(CROWD + 1))


def test_in_a_crowd_the_candidate_looked_at_shows_its_spread_too(results):
    crowd = crowd_of(results, CROWD + 1)
    crowd = dataclasses.replace(crowd, trials=crowd.trials.assign(deviation=0.3))
    (spread,) = traces(draw(crowd, View(trial=77)), "looked at")
    assert list(spread.error_y.array) == [pytest.approx(0.3)]


def test_references_stand_under_the_candidates_or_as_stars_among_them(results):
    known = (
        reference("near <b>", latency_ms=1.0, num_parameters=5e8),
        reference("far", latency_ms=40.0, num_parameters=5e8),
        reference("unpriced", num_parameters=5e8),
    )
    figure = draw(results, references=known)
    (row,) = traces(figure, "published")
    assert (list(row.x), row.yaxis) == ([1.0], "y3")
    assert row.text == (" near &lt;b&gt;",)
    (stars,) = traces(draw(results, View(y="num_parameters"), references=known), "published")
    assert (list(stars.x), list(stars.y), stars.yaxis) == ([1.0], [5e8], None)
    assert not traces(draw(results, View(hide=("references",)), references=known), "published")


def test_references_far_from_the_candidates_are_named_and_press_nobody(results):
    known = (reference("far", latency_ms=40.0), reference("tiny", latency_ms=0.001), reference("near", latency_ms=1.0))
    plane = plane_of(dataclasses.replace(results, references=known), View())
    sentence = beyond_sentence(plane, placed_references(plane))
    assert "1 beyond the right edge (far 40.00 ms)" in sentence
    assert "1 beyond the left edge (tiny" in sentence
    assert draw(results, references=known).layout.xaxis.autorangeoptions.clipmax < 4


def test_names_of_references_do_not_lie_on_each_other(results):
    known = tuple(reference(f"model-{index}", latency_ms=1.0 + index / 100) for index in range(9))
    (row,) = traces(draw(results, references=known), "published")
    assert len({height for height, text in zip(row.y, row.text, strict=True) if text}) == 3
    assert sum(bool(text) for text in row.text) == 3


def test_other_studies_are_drawn_with_their_own_dash_and_symbol(results):
    trials = results.trials.assign(perplexity=results.trials["perplexity"] * 1.1)
    others = {name: dataclasses.replace(results, trials=trials) for name in ("<i>one</i>", "two")}
    figure = pareto_figure(plane_of(results, View()), others)
    one, two = (traces(figure, name)[0] for name in ("&lt;i&gt;one&lt;/i&gt;", "two"))
    assert one.line.dash != two.line.dash
    assert one.marker.symbol != two.marker.symbol
    assert list(one.y) == pytest.approx(list(frontier(others["two"])["perplexity"]))
    # A press on them must not choose a candidate of the study in front.
    assert one.customdata is None


def test_figures_that_are_no_numbers_take_no_place_and_hide_nothing_else(results):
    trials = results.trials.copy()
    trials.loc[[16, 17], "perplexity"] = [float("inf"), float("nan")]
    trials.loc[19, ["pattern", "architecture", "genome"]] = "{"
    drawn = numbers(draw(results, trials=trials))
    assert set(candidates(results)["number"]) - set(drawn) == {16, 17, 28}


def test_an_objective_named_by_the_study_is_escaped(results):
    named = Objective(column="latency_ms", label="<b>x</b>")
    assert "<b>" not in draw(results, objectives=(PERPLEXITY, named)).layout.xaxis.title.text


def test_columns_that_a_study_adds_can_be_drawn_over(results):
    trials = results.trials.assign(memory_gib=2.0 + results.trials["number"] / 10)
    figure = draw(results, View(x="memory_gib"), trials=pd.DataFrame(trials))
    assert figure.layout.xaxis.title.text == "Memory (GiB)"
