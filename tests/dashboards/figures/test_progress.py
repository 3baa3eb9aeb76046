import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from dashboards.analysis.best_under_budget import budget_of
from dashboards.analysis.common_hypervolume import common_hypervolumes
from dashboards.analysis.pace import ended, working_time
from dashboards.figures.progress import progress_figure
from dashboards.frame import LATENCY_MS, MEMORY_GIB, PERPLEXITY
from dashboards.view import View

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def words(figure):
    return [annotation.text for annotation in figure.layout.annotations]


def with_objectives(results, *objectives):
    trials = results.trials.assign(memory_gib=results.trials["hidden_size"].astype("Float64").astype("float64") / 256)
    return dataclasses.replace(results, trials=trials, objectives=objectives, limits={})


@pytest.mark.parametrize("over", ["candidates", "time"])
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_is_drawn_over_candidates_and_over_time(study, over, request):
    results = request.getfixturevalue(study)
    figure = progress_figure(results, over=over, budget=budget_of(results, View()), overlaid={"again": results})
    assert json.loads(figure.to_json())["layout"]["template"]
    assert figure.data or words(figure) == ["No candidate has finished yet."]


@pytest.mark.parametrize("objectives", [(PERPLEXITY,), (PERPLEXITY, LATENCY_MS, MEMORY_GIB)])
def test_one_objective_and_three_are_drawn(results, objectives):
    changed = with_objectives(results, *objectives)
    figure = progress_figure(changed, budget=budget_of(changed, View(budget=1.5)), overlaid={"again": changed})
    assert len(traces(figure, "again")) == 1
    assert "Hypervolumes of these studies cannot be compared." in words(figure)
    assert len(traces(figure, "best at ≤ 1.5 ms")) == len(objectives[1:2])


def test_hypervolume_only_rises_and_the_best_only_falls_to_the_best_of_all(results):
    figure = progress_figure(results)
    (hypervolume,) = traces(figure, "hypervolume")
    (best,) = traces(figure, "best so far")
    assert list(hypervolume.y) == sorted(hypervolume.y)
    assert list(best.y) == sorted(best.y, reverse=True)
    assert best.y[-1] == ended(results)["perplexity"].min()
    assert best.x[-1] == hypervolume.x[-1] == len(ended(results))
    assert {"random and seeds", "evolved"} <= set(words(figure))


def test_each_step_of_the_best_names_the_candidate_that_made_it(results):
    (best,) = traces(progress_figure(results), "best so far")
    perplexity = results.trials.set_index("number")["perplexity"]
    assert perplexity.loc[list(best.customdata)].tolist() == list(best.y)


def test_every_finished_candidate_has_one_mark_that_can_be_pressed(results):
    marks = [trace for trace in progress_figure(results).data if trace.mode == "markers"]
    rows = ended(results)
    finished = rows.loc[rows["status"] == "finished", "number"]
    assert sorted(number for trace in marks for number in trace.customdata) == sorted(finished)
    assert len({trace.marker.symbol for trace in marks}) == len(marks)


def test_the_random_ground_ends_where_the_first_evolved_candidate_stands(results):
    rows = ended(results).reset_index(drop=True)
    first = int(rows.index[rows["origin"].isin(["mutation", "crossover"])][0]) + 1
    assert {shape.x1 for shape in progress_figure(results).layout.shapes} >= {first - 0.5}


def test_the_best_within_a_budget_leaves_out_what_costs_more(results):
    figure = progress_figure(results, budget=budget_of(results, View(budget=1.0)))
    (line,) = traces(figure, "best at ≤ 1 ms")
    rows = ended(results)
    assert line.y[-1] == rows.loc[rows["latency_ms"] <= 1.0, "perplexity"].min() > rows["perplexity"].min()
    assert line.line.dash != "solid"


def test_the_budget_is_the_readers_else_a_limit_that_cuts_else_the_knee(results):
    known = dataclasses.replace(results, knee=17)
    assert budget_of(known, View(budget=1.5)).most == 1.5
    cutting = dataclasses.replace(known, limits={"latency_ms": 1.0})
    assert budget_of(cutting, View()).most == 1.0
    knee = results.trials.set_index("number").loc[17, "latency_ms"]
    everything_is_within = dataclasses.replace(known, limits={"latency_ms": 1e3})
    assert budget_of(everything_is_within, View()).most == knee
    assert budget_of(dataclasses.replace(results, limits={}), View()) is None


def test_over_time_a_break_is_a_line_with_its_length_and_takes_no_room(results):
    trials = results.trials.copy()
    late = trials["finished_at"] > pd.Timestamp("2026-11-20T10:00Z")
    for column in ("started_at", "finished_at"):
        trials.loc[late, column] += pd.Timedelta(hours=31)
    broken = dataclasses.replace(results, trials=trials)
    (entry,) = working_time(broken).breaks
    assert entry.seconds == pytest.approx(31 * 3600, rel=0.01)
    figure = progress_figure(broken, over="time")
    (text,) = [text for text in words(figure) if text.startswith("stood still")]
    assert text == "stood still 1 d 6 h"
    plain = traces(progress_figure(results, over="time"), "best so far")[0]
    assert traces(figure, "best so far")[0].x[-1] == pytest.approx(plain.x[-1], abs=0.1)
    assert not working_time(results).breaks


def test_zoom_over_candidates_is_not_kept_over_time(results):
    over = {progress_figure(results, over=over).layout.uirevision for over in ("candidates", "time")}
    assert len(over) == 2


def test_an_overlaid_study_has_a_dash_of_its_own_and_one_box_with_the_one_in_front(results):
    better = dataclasses.replace(
        results, trials=results.trials.assign(perplexity=results.trials["perplexity"] * 0.5), title="<b>better</b>"
    )
    figure = progress_figure(results, overlaid={"<i>better</i>": better})
    other, best = traces(figure, "&lt;i&gt;better&lt;/i&gt;")
    (front,) = traces(figure, "hypervolume")
    assert {other.line.dash, best.line.dash} == {"dash"}
    assert other.y[-1] > front.y[-1]
    assert figure.layout.yaxis.title.text == "Hypervolume in a common box"


def test_studies_of_another_first_objective_are_not_overlaid(results):
    other = with_objectives(results, MEMORY_GIB, LATENCY_MS)
    assert not traces(progress_figure(results, overlaid={"other": other}), "other")


def test_the_common_hypervolume_is_the_area_of_the_staircase(results):
    rng = np.random.default_rng(0)
    # Few values, so that there are equal points and points in line.
    points = rng.integers(1, 9, size=(120, 2)).astype(float)
    rows = pd.DataFrame(points, columns=["perplexity", "latency_ms"]).assign(status="finished")
    (volumes,) = common_hypervolumes([rows], objectives=(PERPLEXITY, LATENCY_MS))
    logs = np.log(points)
    box = (logs - logs.min(axis=0)) / ((logs.max(axis=0) - logs.min(axis=0)) * 1.05)
    for number in (1, 7, 120):
        area, ceiling = 0.0, 1.0
        for x, y in sorted(map(tuple, box[:number])):
            if y < ceiling:
                area += (1 - x) * (ceiling - y)
                ceiling = y
        assert volumes.iloc[number - 1] == pytest.approx(area)


def test_candidates_far_worse_than_the_rest_are_counted_and_do_not_flatten_the_picture(results):
    trials = results.trials.copy()
    worst = trials.index[(trials["status"] == "finished") & (trials["origin"] == "random")][0]
    trials.loc[worst, "perplexity"] = 5e4
    figure = progress_figure(dataclasses.replace(results, trials=trials))
    right = [trace for trace in figure.data if trace.yaxis == "y2"]
    assert max(float(max(trace.y)) for trace in right) < 100
    assert "1 worse than drawn" in words(figure)
    assert not [text for text in words(progress_figure(results)) if "worse" in text]


def test_a_first_candidate_far_worse_than_the_rest_does_not_stretch_the_line_of_the_best(results):
    trials = results.trials.copy()
    trials.loc[trials["finish_index"] == 0, "perplexity"] = 5e4
    (best,) = traces(progress_figure(dataclasses.replace(results, trials=trials)), "best so far")
    assert max(best.y) < 100


def test_breaks_that_lie_close_together_are_drawn_and_named_once(results):
    trials = results.trials.copy()
    for hour in ("10:00", "10:04"):
        late = trials["finished_at"].dt.strftime("%H:%M") > hour
        for column in ("started_at", "finished_at"):
            trials.loc[late, column] += pd.Timedelta(days=1)
    broken = dataclasses.replace(results, trials=trials)
    assert len(working_time(broken).breaks) == 2
    figure = progress_figure(broken, over="time")
    assert len([text for text in words(figure) if text.startswith("stood still")]) == 1


def test_thousands_of_candidates_are_drawn_by_webgl(results):
    copies = [results.trials.assign(number=results.trials["number"] + 100 * copy) for copy in range(45)]
    trials = pd.concat(copies, ignore_index=True)
    trials["finish_index"] = trials["finish_index"].where(trials["finish_index"].isna(), trials["number"])
    figure = progress_figure(dataclasses.replace(results, trials=trials))
    assert {trace.type for trace in figure.data if trace.mode == "markers"} == {"scattergl"}
