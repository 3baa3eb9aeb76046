import dataclasses
import json

import pytest

from dashboards.analysis.selection import frontier
from dashboards.elements import Element, graphs_in, slots_in
from dashboards.frame import LATENCY_MS, MEMORY_GIB, PERPLEXITY
from dashboards.markup import to_html
from dashboards.view import View
from dashboards.views.compare import compare_view

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")
GRAPHS = ["compare-breakdown", "compare-curves", "lineage", "curves"]


def slot_html(results, name, view=View(), overlaid=None):  # noqa: B008  # frozen
    return to_html(slots_in(compare_view(results, view, overlaid or {}))[name])


def shape(nodes):
    return [
        (node.tag, node.attributes.get("data-slot"), [] if "data-slot" in node.attributes else shape(node.children))
        for node in nodes
        if isinstance(node, Element)
    ]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_the_same_sections_so_that_a_live_page_changes_in_place(study, results, request):
    sections = compare_view(request.getfixturevalue(study), View(), {})
    assert shape(sections) == shape(compare_view(results, View(compare=(3, 5)), {}))
    assert [graph.name for graph in graphs_in(sections)] == GRAPHS


@pytest.mark.parametrize("objectives", [(PERPLEXITY,), (PERPLEXITY, LATENCY_MS, MEMORY_GIB)])
def test_any_number_of_objectives_is_compared(results, objectives):
    study = dataclasses.replace(results, trials=results.trials.assign(memory_gib=2.0), objectives=objectives)
    text = slot_html(study, "compare-figures", View(), {"other": study})
    assert all(objective.title in text for objective in objectives)


def test_best_knee_and_cheapest_of_the_frontier_are_compared_at_first(results):
    members = frontier(results)["number"].tolist()
    study = dataclasses.replace(results, knee=members[4])
    text = slot_html(study, "compare-columns")
    best = frontier(results).sort_values("perplexity")["number"].iloc[0]
    places = [text.index(f">#{number}<") for number in (best, members[4], members[0])]
    assert places == sorted(places)
    assert text.count("<article>") == 3


def test_the_best_of_a_row_is_marked_in_words_and_the_others_say_how_far_they_are(results):
    trials = results.trials.copy()
    trials.loc[trials["number"].isin([17, 20]), "perplexity"] = [20.0, 25.0]
    text = slot_html(dataclasses.replace(results, trials=trials), "compare-figures", View(compare=(20, 17)))
    row = text[text.index('scope="row">Perplexity') :].split("</tr>")[0]
    assert row.count("★ best") == 1
    assert row.index("+25.0 %") < row.index("★ best")


def test_candidates_that_are_equal_have_no_best(results):
    trials = results.trials.assign(perplexity=20.0)
    text = slot_html(dataclasses.replace(results, trials=trials), "compare-figures", View(compare=(20, 17)))
    assert "★" not in text[text.index('scope="row">Perplexity') :].split("</tr>")[0]


def test_a_candidate_can_be_removed_and_another_added(results):
    view = View(page="compare", compare=(20, 17))
    assert "page=compare&amp;compare=17" in slot_html(results, "compare-columns", view)
    controls = slot_html(results, "compare-controls", view)
    member = next(number for number in frontier(results)["number"].tolist() if number not in (17, 20))
    assert f'value="20,17,{member}"' in controls
    assert 'value="20,17"' in controls


def test_a_candidate_whose_mark_was_pressed_can_be_looked_at_or_join(results):
    controls = slot_html(results, "compare-controls", View(page="compare", compare=(20, 17), trial=3))
    assert 'href="?page=candidate&amp;trial=3&amp;compare=20,17"' in controls
    assert 'href="?page=compare&amp;trial=3&amp;compare=20,17,3"' in controls
    full = slot_html(results, "compare-controls", View(page="compare", compare=(20, 17, 4, 6), trial=3))
    assert "Look at #3" in full
    assert "too" not in full


def test_four_are_the_most(results):
    controls = slot_html(results, "compare-controls", View(compare=(20, 17, 3, 4)))
    assert "<select" not in controls


def test_only_differing_parts_of_genomes_are_shown_and_marked(results):
    trials = results.trials.copy()
    genomes = [{"width": 8, "block": "d f", "same": 1}, {"width": 8, "block": "<b>", "same": 1, "extra": 2}]
    for number, genome in zip((17, 20), genomes, strict=True):
        trials.loc[trials["number"] == number, "genome"] = json.dumps(genome)
    text = slot_html(dataclasses.replace(results, trials=trials), "genomes", View(compare=(17, 20)))
    assert "≠ <code>&lt;b&gt;</code>" in text
    assert "absent" in text
    assert "<code>width</code>" not in text
    assert "2 further parts are the same in all." in text


def test_equal_genomes_and_single_candidates_are_said(results):
    same = dataclasses.replace(results, trials=results.trials.assign(genome='{"a": 1}'))
    assert "They have the same genome." in slot_html(same, "genomes", View(compare=(17, 20)))
    assert "takes two candidates" in slot_html(same, "genomes", View(compare=(17,)))


@pytest.mark.parametrize("column", ["architecture", "latency_by_operator", "curve", "genome"])
def test_a_garbled_part_of_one_is_said_and_the_others_are_compared(results, column):
    trials = results.trials.copy()
    trials.loc[trials["number"] == 17, column] = "{garbled"
    study = dataclasses.replace(results, trials=trials)
    view = View(compare=(17, 20, 3))
    assert "of trial 17 cannot be read" in slot_html(study, "compare-controls", view)
    figures = {graph.name: graph.figure for graph in graphs_in(compare_view(study, view, {}))}
    assert len(figures["compare-curves"].data) == (2 if column == "curve" else 3)
    assert "#17" in slot_html(study, "compare-figures", view)


def test_numbers_without_a_trial_are_said(results):
    text = slot_html(results, "compare-controls", View(compare=(17, 777)))
    assert "This study has no trial 777." in text


def test_studies_over_each_other_are_a_picture_and_a_table_of_their_bests(results):
    worse = results.trials.assign(perplexity=results.trials["perplexity"] + 1)
    other = dataclasses.replace(results, trials=worse, provenance={"device": "another"})
    view = View(page="compare", study="mine", overlay=("<b>",))
    sections = compare_view(results, view, {"<b>": other})
    (figure,) = [graph.figure for graph in graphs_in(sections) if graph.name == "studies"]
    assert [trace.name for trace in figure.data] == ["mine", "&lt;b&gt;"]
    text = slot_html(results, "studies", view, {"<b>": other})
    assert "&lt;b&gt; has another device" in text
    assert text.index("★ best") < text.index("&lt;b&gt;")
    assert "study=mine" in text[text.index("× remove") - 200 : text.index("× remove")]


def test_a_study_that_knows_other_objectives_is_said(results):
    other = dataclasses.replace(results, objectives=(LATENCY_MS,))
    assert "does not know Perplexity" in slot_html(results, "studies", View(overlay=("b",)), {"b": other})


@pytest.mark.parametrize("study", STUDIES)
def test_any_study_can_be_drawn_over_any(study, results, request):
    other = request.getfixturevalue(study)
    assert "other" in slot_html(results, "studies", View(overlay=("other",)), {"other": other})
    assert "other" in slot_html(other, "studies", View(overlay=("other",)), {"other": results})
