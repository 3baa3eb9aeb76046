import dataclasses
import re

import pytest

from dashboards.analysis.selection import candidates, frontier
from dashboards.elements import Element, graphs_in, slots_in
from dashboards.frame import LATENCY_MS, PERPLEXITY, Objective, Reference
from dashboards.markup import to_html
from dashboards.view import MAX_COMPARED, View, view_of
from dashboards.views.frontier import frontier_view

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")
THIRD = Objective(column="depth", label="Depth", unit="operators")


def shown(results, view=View(), overlaid=None):  # noqa: B008 - a view is never changed
    """Return the HTML of each slot, by name."""
    return {name: to_html(node) for name, node in slots_in(frontier_view(results, view, overlaid or {})).items()}


def text_of(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def skeleton(nodes):
    """Return what a live page cannot change in place: everything but what slots hold and graphs draw."""
    return [
        (node.tag, [] if "data-slot" in node.attributes else skeleton(node.children))
        if isinstance(node, Element)
        else node
        if isinstance(node, str)
        else node.name
        for node in nodes
    ]


def links(html):
    """Return the views that the links of a text lead to, by their words."""
    found = re.findall(r'<a [^>]*href="(\?[^"]*)"[^>]*>(.*?)</a>', html)
    return {text_of(words): view_of(href.replace("&amp;", "&"))[0] for href, words in found}


@pytest.fixture
def knee(results):
    return int(frontier(results)["number"].iloc[4])


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize(
    "objectives", [(PERPLEXITY,), (PERPLEXITY, LATENCY_MS), (PERPLEXITY, LATENCY_MS, THIRD)], ids=len
)
def test_the_tree_around_slots_is_the_same_for_every_state_of_a_study(study, objectives, results, request):
    view = View(budget=1.2, trial=17, hide=("failed",), x="num_parameters")
    other = dataclasses.replace(request.getfixturevalue(study), objectives=objectives)
    expected = skeleton(frontier_view(results, View(), {}))
    assert skeleton(frontier_view(other, View(), {})) == expected
    assert skeleton(frontier_view(other, view, {"other": results})) == expected
    assert [graph.name for graph in graphs_in(frontier_view(other, view, {}))] == ["pareto"]


def test_axes_can_be_any_column_with_numbers_objectives_first(results):
    html = shown(results)["frontier-axes"]
    assert re.findall(r'value="(\w+)"', html)[:4] == ["perplexity", "latency_ms", "num_parameters", "depth"]
    assert 'value="measured_latency_ms"' not in html
    assert re.findall(r'selected="selected"[^>]*>([^<]*)|>([^<]*)</option>', html)
    chosen = re.findall(r'<option value="(\w+)" selected="selected"', html)
    assert chosen == ["perplexity", "latency_ms"]


def test_the_scales_of_an_axis_are_links_of_which_one_is_marked(results):
    html = shown(results, View(x_scale="log"))["frontier-axes"]
    assert [view.x_scale for view in links(html.split('data-view="x"')[1]).values()] == ["linear", "log"]
    assert html.count('aria-current="true"') == 2
    assert re.search(r'aria-current="true">log<', html.split('data-view="x"')[1])


def test_an_axis_that_is_not_there_is_complained_of_and_the_default_is_drawn(results):
    view = View(x="speed <b>")
    assert "no numbers in a column 'speed <b>'" in text_of(shown(results, view)["frontier-notes"]).replace(
        "&lt;", "<"
    ).replace("&gt;", ">")
    (graph,) = graphs_in(frontier_view(results, view, {}))
    assert graph.figure.layout.xaxis.title.text == "Latency (ms)"


def test_filters_say_how_many_they_hide_and_turn_back(results):
    html = shown(results)["frontier-filters"]
    rows = candidates(results)
    assert links(html)[f"failed {(rows['status'] == 'failed').sum()}"].hide == ("failed",)
    assert links(html)[f"random {(rows['origin'] == 'random').sum()}"].hide == ("random",)
    hidden = shown(results, View(hide=("failed",)))
    assert re.search(r'aria-pressed="false"[^>]*>failed ', hidden["frontier-filters"])
    assert links(hidden["frontier-filters"])["failed 3"] == View()
    assert links(hidden["frontier-filters"])["Show all"] == View()
    assert "3 of 38 candidates are filtered out." in hidden["frontier-notes"]


def test_a_word_that_hides_nothing_is_complained_of(results):
    assert "Nothing is called 'frobs'" in text_of(shown(results, View(hide=("frobs",)))["frontier-notes"])


def test_candidates_without_a_place_are_counted_by_what_they_lack(results):
    assert "Not drawn: 1 without latency, 1 without perplexity" in shown(results)["frontier-notes"]
    trials = results.trials.assign(bits_per_byte=results.trials["bits_per_byte"].where(results.trials["number"] > 3, 0))
    notes = shown(dataclasses.replace(results, trials=trials), View(y="bits_per_byte", y_scale="log"))
    assert "4 with bits per byte at zero or below" in notes["frontier-notes"]


def test_the_budget_names_its_pick_in_words_and_what_more_would_buy(results):
    html = shown(results, View(budget=1.2))["frontier-budget"]
    rows = candidates(results)
    within = rows[(rows["status"] == "finished") & (rows["latency_ms"] <= 1.2)]
    best = within.loc[within["perplexity"].idxmin()]
    assert f"Pick #{best['number']} : perplexity {best['perplexity']:.2f}" in text_of(html)
    assert f"the best of {len(within)} candidates" in text_of(html)
    assert links(html)[f"#{best['number']}"] == View(page="candidate", trial=int(best["number"]), budget=1.2)
    assert "would buy" in html
    assert ">1.2 ms<" in html


def test_the_slider_spans_the_candidates_and_holds_the_budget(results):
    def slider(budget):
        html = shown(results, View(budget=budget))["frontier-budget"]
        (attributes,) = re.findall(r"<input ([^>]*)>", html)
        return {name: float(value) for name, value in re.findall(r'(min|max|step|value)="([^"]*)"', attributes)}

    drawn = candidates(results)["latency_ms"]
    ends = slider(None)
    assert ends["min"] <= drawn.min() < drawn.max() <= ends["max"] == ends["value"]
    assert slider(1.2)["value"] == 1.2
    assert slider(99.0)["value"] == ends["max"]


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (View(), "Set what a model may cost"),
        (View(budget=0.01), "No finished candidate shown costs 0.01 ms or less."),
        (View(budget=30.0, x="perplexity"), "Pick #33 : latency"),
    ],
)
def test_without_a_pick_the_budget_says_why(results, view, words):
    assert words in text_of(shown(results, view)["frontier-budget"])


def test_a_budget_on_what_is_not_minimised_is_complained_of(results):
    slots = shown(results, View(x="depth", budget=3.0))
    assert not text_of(slots["frontier-budget"])
    assert "depth is none" in slots["frontier-notes"]


def test_what_was_pressed_is_described_with_links_onward(results):
    view = View(trial=17)
    html = shown(results, view)["frontier-chosen"]
    row = results.trials.set_index("number").loc[17]
    assert f"{row['perplexity']:.2f}" in text_of(html)
    assert f"{row['depth']} operators" in text_of(html)
    assert row["pattern"] in text_of(html)
    onward = links(html)
    assert onward["Open"] == View(page="candidate", trial=17)
    assert onward["Add to comparison"] == View(trial=17, compare=(17,))
    assert onward[f"#{row['parent']}"] == View(trial=int(row["parent"]))


def test_the_comparison_takes_back_what_it_holds_and_no_more_than_fit(results):
    held = links(shown(results, View(trial=17, compare=(3, 17)))["frontier-chosen"])
    assert held["Remove from comparison"].compare == (3,)
    assert held["Compare 2"].page == "compare"
    full = shown(results, View(trial=17, compare=tuple(range(MAX_COMPARED))))["frontier-chosen"]
    assert f"The comparison holds {MAX_COMPARED}" in full
    assert "Add to comparison" not in full


def test_a_failed_candidate_says_how_it_failed_escaped(results):
    html = shown(results, View(trial=21))["frontier-chosen"]
    assert "gpu_out_of_memory" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_the_spread_over_seeds_is_written_with_the_score(results):
    trials = results.trials.copy()
    trials.loc[17, ["deviation", "num_evaluations"]] = [0.4, 3]
    html = shown(dataclasses.replace(results, trials=trials), View(trial=17))["frontier-chosen"]
    assert f"{trials.loc[17, 'perplexity']:.2f} ± 0.40 over 3 seeds" in html


def test_an_unknown_candidate_gets_one_sentence(results):
    assert text_of(shown(results, View(trial=4711))["frontier-chosen"]) == "The study has no candidate #4711."


def test_without_a_choice_the_pick_the_knee_or_the_best_is_described(results, knee):
    known = dataclasses.replace(results, knee=knee)
    assert f"#{knee} " in text_of(shown(known)["frontier-chosen"])
    assert "pick" in text_of(shown(known, View(budget=1.2))["frontier-chosen"])
    best = frontier(results).sort_values("perplexity")["number"].iloc[0]
    assert text_of(shown(results)["frontier-chosen"]).startswith(f"#{best} ")


def test_a_garbled_architecture_is_said_and_hides_nothing_else(results):
    trials = results.trials.copy()
    trials.loc[17, "architecture"] = "{"
    html = shown(dataclasses.replace(results, trials=trials), View(trial=17))["frontier-chosen"]
    assert "architecture" in text_of(html.split("</dl>")[1])
    assert f"{trials.loc[17, 'perplexity']:.2f}" in html


def test_references_far_away_and_studies_that_cannot_be_drawn_are_named(results, empty_results, foreign_results):
    far = Reference(name="far", figures={"latency_ms": 40.0}, pattern="a f")
    known = dataclasses.replace(results, references=(far,))
    view = View(x="depth", y="perplexity")
    assert "1 beyond the right edge (far 40.00 ms)" in shown(known)["frontier-notes"]
    assert "published 1" in links(shown(known)["frontier-filters"])
    notes = shown(results, view, {"other": foreign_results})["frontier-notes"]
    assert "other is not drawn: it has no depth." in notes
    notes = shown(results, View(), {"new": empty_results})["frontier-notes"]
    assert "new is not drawn: it has no frontier yet." in notes


def test_strips_lead_to_their_candidates(results):
    opened = [view for view in links(shown(results)["strips"]).values() if view.page == "candidate"]
    assert [view.trial for view in opened] == frontier(results)["number"].tolist()
