import dataclasses
import itertools
import json

import pytest

from dashboards.figures.breakdown import breakdown_figure
from dashboards.figures.comparison import comparison_figure
from dashboards.figures.curves import MAX_CURVES, curves_figure
from dashboards.figures.lineage import lineage_figure
from dashboards.figures.pareto import pareto_figure
from dashboards.figures.progress import progress_figure
from dashboards.frame import LATENCY_MS, PERPLEXITY, Objective
from dashboards.page import FIGURES
from dashboards.selection import candidates, evaluated, frontier, records

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def words(figure):
    return [annotation.text for annotation in figure.layout.annotations]


@pytest.mark.parametrize(("name", "study"), list(itertools.product(FIGURES, STUDIES)))
def test_every_figure_draws_every_study_and_survives_a_redraw(name, study, request):
    figure = FIGURES[name](request.getfixturevalue(study))
    assert figure.layout.uirevision == "constant"
    assert figure.layout.height > 0
    assert json.loads(figure.to_json())["layout"]["template"]
    assert figure.data or words(figure)


def test_every_candidate_with_a_latency_has_exactly_one_mark(results):
    figure = pareto_figure(results)
    marks = [x for trace in figure.data if "markers" in trace.mode for x in trace.x]
    rows = candidates(results)
    expected = rows[rows["latency_ms"].notna() & (rows["status"] != "running")]["latency_ms"]
    assert sorted(marks) == pytest.approx(sorted(expected))


def test_the_frontier_is_a_falling_line_of_steps(results):
    (line,) = traces(pareto_figure(results), "frontier")
    assert line.line.shape == "hv"
    assert list(line.x) == sorted(line.x)
    assert list(line.y) == sorted(line.y, reverse=True)
    assert len(line.x) == results.trials["is_frontier"].sum()


def test_frontier_dominated_failed_and_infeasible_differ_without_colour(results):
    figure = pareto_figure(results)
    looks = {trace.name: trace.marker.symbol for trace in figure.data if "markers" in trace.mode and not trace.text}
    assert len(set(looks.values())) == len(looks)
    assert {"random", "evolved", "failed", "over a limit, not evaluated"} <= set(looks)
    filled = [trace.marker.symbol for trace in figure.data if trace.text]
    assert filled
    assert not any(symbol.endswith("open") for symbol in filled)


def test_failed_candidates_stand_in_the_strip_with_their_message_escaped(results):
    (failed,) = traces(pareto_figure(results), "failed")
    assert failed.yaxis == "y2"
    text = " ".join(failed.hovertext).replace("<br>", " ")
    assert "&lt;script&gt;alert('x')&lt;/script&gt;" in text
    assert "<script>" not in text


def test_failures_without_latency_are_counted_under_the_plane(results):
    assert "1 failed before latency was known: see the table" in words(pareto_figure(results))


def test_repeats_are_no_marks_of_their_own(results):
    text = " ".join(label for trace in pareto_figure(results).data for label in trace.hovertext or ())
    assert "<b>#36</b>" not in text
    assert "<b>#17</b>" in text


def test_a_limit_close_to_the_candidates_is_drawn_and_one_far_away_is_not(results):
    assert "limit 2.3 ms" in words(pareto_figure(results))
    far = dataclasses.replace(results, limits={"latency_ms": 50.0})
    assert not any(text.startswith("limit") for text in words(pareto_figure(far)))


def test_three_objectives_draw_no_line_but_say_the_third_on_hover(results):
    third = Objective(column="num_parameters", label="Size")
    figure = pareto_figure(dataclasses.replace(results, objectives=(PERPLEXITY, LATENCY_MS, third)))
    assert not traces(figure, "frontier")
    assert "Size 8" in " ".join(label for trace in figure.data for label in trace.hovertext)


def test_one_objective_is_drawn_over_the_order_of_finishing(results):
    figure = pareto_figure(dataclasses.replace(results, objectives=(PERPLEXITY,)))
    assert figure.layout.xaxis.title.text == "Order of finishing"
    assert sum(len(trace.x) for trace in figure.data) == (candidates(results)["status"] == "finished").sum()


def test_logarithmic_objectives_get_logarithmic_axes(results):
    objectives = (dataclasses.replace(PERPLEXITY, log=True), dataclasses.replace(LATENCY_MS, log=True))
    layout = pareto_figure(dataclasses.replace(results, objectives=objectives)).layout
    assert (layout.xaxis.type, layout.yaxis.type) == ("log", "log")


def test_progress_shows_hypervolume_and_a_best_that_only_falls(results):
    figure = progress_figure(results)
    (hypervolume,) = traces(figure, "hypervolume")
    (best,) = traces(figure, "best so far")
    assert list(hypervolume.y) == sorted(hypervolume.y)
    assert list(best.y) == sorted(best.y, reverse=True)
    assert best.y[-1] == evaluated(results)["perplexity"].min()
    assert {"random and seeds", "evolved"} <= set(words(figure))


def test_the_random_ground_ends_where_the_first_evolved_candidate_stands(results):
    rows = evaluated(results).reset_index(drop=True)
    first = int(rows.index[rows["origin"].isin(["mutation", "crossover"])][0]) + 1
    assert {shape.x1 for shape in progress_figure(results).layout.shapes} >= {first - 0.5}


def test_bars_add_up_to_the_latency_of_each_frontier_candidate(results):
    figure = breakdown_figure(results)
    totals = [sum(parts) for parts in zip(*(bar.x for bar in figure.data), strict=True)]
    assert totals == pytest.approx(frontier(results)["latency_ms"].tolist())
    assert len({(bar.marker.color, bar.marker.pattern.shape) for bar in figure.data}) == len(figure.data)


def test_an_operator_without_a_style_still_gets_its_bar(results):
    trials = results.trials.assign(latency_by_operator=json.dumps({"rwkv7 <b>": 1.0, "fixed": 0.5}))
    figure = breakdown_figure(dataclasses.replace(results, trials=trials))
    assert [bar.name for bar in figure.data] == ["rwkv7 &lt;b&gt;", "fixed parts"]


def test_curves_prefer_validation_loss_and_fall_back_to_training_loss(results):
    figure = curves_figure(results)
    assert len(figure.data) == min(MAX_CURVES, len(frontier(results)))
    assert "validation loss" in figure.data[0].hovertemplate
    curve = json.dumps([[10, 3.0, None], [20, 2.5, None]])
    unvalidated = dataclasses.replace(results, trials=results.trials.assign(curve=curve))
    assert "training loss" in curves_figure(unvalidated).data[0].hovertemplate


def test_a_long_frontier_shows_curves_evenly_along_it(results):
    trials = results.trials.assign(is_frontier=results.trials["status"] == "finished")
    figure = curves_figure(dataclasses.replace(results, trials=trials))
    rows = records(frontier(dataclasses.replace(results, trials=trials)))
    assert len(figure.data) == MAX_CURVES < len(rows)
    assert figure.data[0].name == f"#{rows[0]['number']}"
    assert figure.data[-1].name == f"#{rows[-1]['number']}"


@pytest.mark.parametrize("difference", [7.7, -7.7])
def test_the_comparison_shows_both_halves_whichever_way_it_went(results, difference):
    comparison = dataclasses.replace(
        results.comparison, evolved_hypervolume=101.2 + difference, difference=difference, sentence="A verdict."
    )
    figure = comparison_figure(dataclasses.replace(results, comparison=comparison))
    assert {trace.y[0]: trace.x[0] for trace in figure.data} == {"random": 101.2, "evolved": 101.2 + difference}
    assert all(trace.error_x.value == 1.9 for trace in figure.data)


def test_noise_that_was_not_measured_gets_no_whisker(results):
    comparison = dataclasses.replace(results.comparison, noise=None)
    figure = comparison_figure(dataclasses.replace(results, comparison=comparison))
    assert not any(trace.error_x.visible for trace in figure.data)


def test_lineage_links_every_frontier_candidate_to_its_finished_ancestors(results):
    figure = lineage_figure(results)
    (lines,) = traces(figure, "parent to child")
    (members,) = traces(figure, "frontier")
    parents = results.trials.set_index("number")["parent"].dropna()
    finished = set(results.trials.loc[results.trials["status"] == "finished", "number"])
    linked = [member for member in frontier(results)["number"] if parents.get(member) in finished]
    ends = set(lines.x[1::3])
    marks = dict(zip(members.text, members.x, strict=True))
    assert linked
    assert all(marks[f"#{member}"] in ends for member in linked)
    assert all(start < end for start, end in zip(lines.x[0::3], lines.x[1::3], strict=True))


def test_a_frontier_without_parents_has_no_lineage_to_draw(results):
    orphans = dataclasses.replace(results, trials=results.trials.assign(parent=None))
    assert words(lineage_figure(orphans)) == ["No frontier candidate has a parent yet."]


def test_stopped_candidates_stand_where_they_were_expected_to_end(results):
    trials = results.trials.copy()
    is_dominated = (trials["status"] == "finished") & ~trials["is_frontier"] & (trials["origin"] != "repeat")
    dominated = trials[is_dominated].index[0]
    expected = trials.loc[dominated, "perplexity"]
    trials.loc[dominated, ["status", "perplexity", "expected"]] = ["stopped", None, expected]
    figure = pareto_figure(dataclasses.replace(results, trials=trials))
    (stopped,) = traces(figure, "stopped early, as expected")
    assert list(stopped.y) == pytest.approx([expected])
    assert "Stopped early" in stopped.hovertext[0]
    others = {trace.marker.symbol for trace in figure.data if "markers" in trace.mode and trace is not stopped}
    assert stopped.marker.symbol not in others
