import dataclasses
import json

import pytest

from dashboards.analysis.selection import frontier, records
from dashboards.figures.breakdown import breakdown_figure
from dashboards.figures.curves import MAX_CURVES, curves_figure
from dashboards.figures.lineage import lineage_figure


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def words(figure):
    return [annotation.text for annotation in figure.layout.annotations]


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
