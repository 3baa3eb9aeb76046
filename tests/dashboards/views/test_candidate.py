import dataclasses
import json

import pytest

from dashboards.analysis.selection import frontier
from dashboards.elements import Element, graphs_in, slots_in
from dashboards.frame import LATENCY_MS, MEMORY_GIB, NUM_PARAMETERS, PERPLEXITY, MemoryAt, Priced
from dashboards.markup import to_html
from dashboards.view import View
from dashboards.views.candidate import candidate_view
from search_spaces import UnavailableError

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")
GRAPHS = ["candidate-breakdown", "candidate-memory", "candidate-curve", "candidate-lineage"]


def price(_architecture):
    memory = (MemoryAt(context_tokens=1024, weight_bytes=2**30, state_bytes=2**20),)
    return Priced(floor_ms_by_operator={"ffn": 0.01, "mamba2": 0.02}, memory=memory)


def slot_html(results, name, view=View()):  # noqa: B008  # frozen
    return to_html(slots_in(candidate_view(results, view, {}))[name])


def all_html(results, view=View()):  # noqa: B008  # frozen
    return "".join(to_html(section) for section in candidate_view(results, view, {}))


def shape(nodes):
    return [
        (node.tag, node.attributes.get("data-slot"), [] if "data-slot" in node.attributes else shape(node.children))
        for node in nodes
        if isinstance(node, Element)
    ]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_the_same_sections_so_that_a_live_page_changes_in_place(study, results, request):
    sections = candidate_view(request.getfixturevalue(study), View(), {})
    assert shape(sections) == shape(candidate_view(results, View(trial=21), {}))
    assert [graph.name for graph in graphs_in(sections)] == GRAPHS


@pytest.mark.parametrize("objectives", [(PERPLEXITY,), (PERPLEXITY, LATENCY_MS, MEMORY_GIB), (NUM_PARAMETERS,)])
def test_any_number_of_objectives_is_shown(results, objectives):
    trials = results.trials.assign(memory_gib=2.0)
    study = dataclasses.replace(results, trials=trials, objectives=objectives, limits={"memory_gib": 3.0})
    text = all_html(study)
    assert all(f'class="label">{objective.label}<' in text for objective in objectives)


def test_the_knee_is_looked_at_unless_another_is_asked_for(results):
    knee = frontier(results)["number"].tolist()[3]
    study = dataclasses.replace(results, knee=knee)
    assert f"Candidate #{knee}" in slot_html(study, "candidate-heading")
    assert "its knee" in slot_html(study, "candidate-heading")
    assert "Candidate #21" in slot_html(study, "candidate-heading", View(trial=21))


def test_without_a_knee_it_is_the_best_of_the_frontier_and_without_one_the_last_trial(results, failed_results):
    best = frontier(results).sort_values("perplexity")["number"].iloc[0]
    assert f"Candidate #{best}" in slot_html(results, "candidate-heading")
    last = failed_results.trials["number"].max()
    assert f"Candidate #{last}" in slot_html(failed_results, "candidate-heading")


def test_a_trial_that_does_not_exist_is_said_and_another_shown(results):
    assert "This study has no trial 777." in slot_html(results, "candidate-notes", View(trial=777))
    assert "Candidate #" in slot_html(results, "candidate-heading", View(trial=777))


def test_links_lead_to_the_neighbours_on_the_frontier(results):
    members = frontier(results)["number"].tolist()
    text = slot_html(results, "candidate-heading", View(page="candidate", trial=members[1]))
    assert f"page=candidate&amp;trial={members[0]}" in text
    assert f"page=candidate&amp;trial={members[2]}" in text
    assert f"2 of {len(members)} on the frontier" in text
    assert f"page=compare&amp;trial={members[1]}&amp;compare={members[1]}," in text


def test_a_failed_candidate_says_what_went_wrong_escaped(results):
    text = slot_html(results, "candidate-notes", View(trial=21))
    assert "Failed: gpu out of memory" in text
    assert "&lt;script&gt;" in text
    assert "<script>" not in all_html(results, View(trial=21))


def test_figures_carry_deviation_measurement_limit_and_attempts(results):
    trials = results.trials.copy()
    chosen = trials["number"] == 17
    trials.loc[chosen, ["deviation", "num_evaluations", "measured_latency_ms", "num_attempts"]] = [0.5, 3, 1.0, 2]
    trials.loc[chosen, "latency_ms"] = 1.02
    text = slot_html(dataclasses.replace(results, trials=trials), "candidate-figures", View(trial=17))
    for words in ("± 0.5000 over 3 seeds", "1.000 ms", "prediction off by +2.0 %", "limit 2.3", "Attempts"):
        assert words in text


def test_a_repeat_leads_to_what_it_repeats(results):
    text = slot_html(results, "candidate-heading", View(trial=36))
    assert "evaluates" in text
    assert "trial=17" in text


@pytest.mark.parametrize("column", ["architecture", "latency_by_operator", "curve", "genome"])
def test_a_garbled_part_is_said_and_the_rest_is_shown(results, column):
    trials = results.trials.copy()
    trials.loc[trials["number"] == 17, column] = "{garbled"
    study = dataclasses.replace(results, trials=trials)
    assert "of trial 17 cannot be read" in slot_html(study, "candidate-notes", View(trial=17))
    assert "Perplexity" in slot_html(study, "candidate-figures", View(trial=17))
    assert ("Its architecture cannot be read." in slot_html(study, "anatomy", View(trial=17))) == (
        column == "architecture"
    )


def test_the_price_gives_floor_and_memory(results):
    study = dataclasses.replace(results, price=price)
    assert "times the floor" in slot_html(study, "candidate-floor")
    assert "Floor ms" in slot_html(study, "candidate-operators")
    memory = {graph.name: graph.figure for graph in graphs_in(candidate_view(study, View(), {}))}["candidate-memory"]
    assert [trace.name for trace in memory.data] == ["weights", "state"]


def test_a_price_that_cannot_be_worked_out_is_said_and_hides_nothing(results):
    def refuse(_architecture):
        raise UnavailableError("no row for <this>")

    study = dataclasses.replace(results, price=refuse)
    assert "no row for &lt;this&gt;" in slot_html(study, "candidate-notes")
    assert "Its floor is not known." in slot_html(study, "candidate-floor")
    assert "Mamba2" in slot_html(study, "candidate-operators")


def test_the_line_names_each_step_and_what_it_brought(results):
    trials = results.trials.copy()
    trials["parent"] = trials["number"].map({20: 17, 17: 3}).astype("Int64")
    trials.loc[trials["number"] == 20, "mutation"] = "<b>wider</b>"
    trials.loc[trials["number"].isin([3, 17, 20]), "perplexity"] = [30.0, 27.0, 28.0]
    study = dataclasses.replace(results, trials=trials)
    text = slot_html(study, "candidate-line", View(page="candidate", trial=20))
    assert text.index("trial=3") < text.index("trial=17") < text.index("trial=20")
    assert "▼ −3.00 (−10.0%) better" in text
    assert "▲ +1.00 (+3.7%) worse" in text
    assert "&lt;b&gt;wider" in text


def test_a_study_that_is_no_search_of_language_models_says_what_is_missing(foreign_results):
    assert "It has no architecture." in slot_html(foreign_results, "anatomy")
    figures = {graph.name: graph.figure for graph in graphs_in(candidate_view(foreign_results, View(), {}))}
    assert "No latency was predicted" in figures["candidate-breakdown"].layout.annotations[0].text
    assert json.loads(figures["candidate-lineage"].to_json())["data"] is not None


def test_the_view_leaves_the_results_as_they_are(results):
    before = results.trials.copy()
    candidate_view(results, View(), {})
    assert before.equals(results.trials)
