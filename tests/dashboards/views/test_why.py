import dataclasses

import pytest

from dashboards.analysis.picking import candidates_to_pick, pick
from dashboards.elements import graphs_in, slots_in
from dashboards.frame import NUM_PARAMETERS, PredictedAndMeasured, ValidationPicture
from dashboards.markup import to_html
from dashboards.view import View, view_of
from dashboards.views.brushing import picked_sentence
from dashboards.views.why import why_view

ALWAYS = ["parallel", "picked", "operator-mix", "genes", "breakdown"]
PICTURE = ValidationPicture(
    title="A table",
    device="H100 <one>",
    workload="decode",
    findings=["Median error 3 %."],
    models=[PredictedAndMeasured(name="llama", hidden_size=1024, predicted_ms=2.0, measured_ms=1.9)],
)


def shown(results, query=""):
    view, complaints = view_of(query)
    assert not complaints
    return why_view(results, view, {})


def html(results, query=""):
    return "".join(map(to_html, shown(results, query)))


@pytest.mark.parametrize("name", ["results", "empty_results", "failed_results", "foreign_results"])
@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_every_study_has_the_same_pictures(name, num_objectives, request):
    study = request.getfixturevalue(name)
    objectives = (*study.objectives, NUM_PARAMETERS)[:num_objectives]
    study = dataclasses.replace(study, objectives=objectives)
    tree = shown(study, "?brush=depth:1:9&trial=3")
    assert [graph.name for graph in graphs_in(tree)] == ALWAYS
    for graph in graphs_in(tree):
        assert graph.figure.to_json()
    assert all(to_html(node) for node in slots_in(tree).values())


def test_the_sentence_says_what_is_picked_out(results):
    candidates = candidates_to_pick(results)
    rows = candidates.rows
    inside = (rows["depth"].between(10, 20) & rows["latency_ms"].between(0.5, 1.5)).sum()
    picked = pick(candidates, {"latency_ms": (0.5, 1.5), "depth": (10, 20)})
    words = f"{inside} of {len(rows)} candidates picked out: Depth 10–20, Latency 0.5–1.5 ms."
    assert picked_sentence(candidates, picked) == words
    assert words in html(results, "?brush=depth:10:20,latency_ms:0.5:1.5")


def test_a_link_takes_the_brush_back_and_leaves_the_rest(results):
    text = html(results, "?page=why&brush=depth:10:20&trial=7")
    assert 'href="?page=why&amp;trial=7" data-brush-clear=""' in text


def test_without_a_brush_all_are_picked_out_and_the_link_is_hidden(results):
    text = html(results)
    assert f"All {len(candidates_to_pick(results).rows)} candidates are picked out." in text
    assert 'hidden="hidden">Pick all again' in text


def test_a_brush_on_an_unknown_column_is_said(results):
    text = html(results, "?brush=colour%3Cb%3E:1:2")
    assert "colour&lt;b&gt;, which this study has no axis for" in text


def test_ranges_can_be_typed_with_what_is_brushed_filled_in(results):
    text = html(results, "?brush=depth:10:20")
    assert 'data-brush-column="depth" data-brush-end="0"' in text
    assert 'value="10"' in text
    assert 'value="20"' in text


def test_a_brush_changes_what_is_picked_and_nothing_else(results):
    before = {graph.name: graph.figure.to_json() for graph in graphs_in(shown(results))}
    after = {graph.name: graph.figure.to_json() for graph in graphs_in(shown(results, "?brush=depth:10:20"))}
    assert [name for name in ALWAYS if before[name] != after[name]] == ["parallel", "picked"]
    changed = slots_in(shown(results, "?brush=depth:10:20"))
    same = slots_in(shown(results))
    assert [name for name in same if to_html(same[name]) != to_html(changed[name])] == ["picked", "brush-fields"]


def test_findings_about_genes_come_with_their_limits(results):
    text = html(results)
    assert "not causation" in text
    assert "By chance alone" in text


def test_garbled_genomes_are_counted_in_words(results):
    trials = results.trials.copy()
    trials.loc[3, "genome"] = "{"
    text = html(dataclasses.replace(results, trials=trials))
    assert "1 trial has a genome or pattern that cannot be read" in text


def test_what_was_never_measured_is_said_with_the_command_that_measures_it(results):
    text = html(dataclasses.replace(results, directory="runs/my run"))
    assert "nas proxy fidelity 'runs/my run'" in text
    assert "nas latency validate --table 'runs/my run/latency.parquet'" in text


def test_fidelity_and_validation_are_drawn_where_they_were_measured(results, fidelity):
    study = dataclasses.replace(results, fidelity=fidelity, validation=PICTURE)
    assert [graph.name for graph in graphs_in(shown(study))] == [*ALWAYS, "fidelity", "scores", "validation"]
    text = html(study)
    assert "Short training ranks &lt;well&gt;." in text
    assert "Median error 3 %." in text
    assert "H100 &lt;one&gt;" in text
    assert "nas proxy" not in text


def test_the_default_view_needs_nothing_chosen(results):
    assert why_view(results, View(), {})
