import dataclasses
from datetime import UTC, datetime

import pandas as pd
import pytest

from dashboards.elements import Element, graphs_in, slots_in
from dashboards.frame import LATENCY_MS, MEMORY_GIB, PERPLEXITY, Activity
from dashboards.markup import to_html
from dashboards.page import report_page
from dashboards.view import View
from dashboards.views.progress import progress_view

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")
ACTIVITY = Activity(
    at=datetime(2026, 11, 20, 11, 5, tzinfo=UTC),
    num_running=2,
    num_places=4,
    num_cpus=4,
    num_gpus=0.5,
    nodes=("gpu-<1>", "gpu-2"),
)


def slot_html(results, name, view=View(page="progress")):  # noqa: B008  # frozen
    return to_html(slots_in(progress_view(results, view, {}))[name])


def shape(nodes):
    return [
        (node.tag, node.attributes.get("data-slot"), [] if "data-slot" in node.attributes else shape(node.children))
        for node in nodes
        if isinstance(node, Element)
    ]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_the_same_sections_so_that_a_live_page_changes_in_place(study, results, request):
    sections = progress_view(request.getfixturevalue(study), View(page="progress"), {"other": results})
    assert shape(sections) == shape(progress_view(results, View(), {}))
    assert [graph.name for graph in graphs_in(sections)] == ["progress", "comparison"]
    assert to_html(sections[0])


def test_one_objective_and_three_are_shown(results):
    trials = results.trials.assign(memory_gib=2.0)
    for objectives in ((PERPLEXITY,), (PERPLEXITY, LATENCY_MS, MEMORY_GIB)):
        changed = dataclasses.replace(results, trials=trials, objectives=objectives, limits={})
        assert len(progress_view(changed, View(), {"again": results})) == 5


def test_running_candidates_are_listed_oldest_first_with_a_time_the_browser_ages(results):
    text = slot_html(results, "running")
    assert text.index("#38") < text.index("#39")
    assert 'data-since="2026-11-20T10:57:48Z"' in text
    assert "page=candidate&amp;trial=38" in text
    # Four minutes each, so twelve for the one that runs longest, and no mark for the others.
    assert text.count('data-long-after-s="720"') == 1
    assert text.index("720") < text.index("#39")


def test_a_running_repeat_is_listed_as_what_it_repeats(results):
    trials = results.trials.copy()
    trials.loc[trials["number"] == 36, "status"] = "running"
    text = slot_html(dataclasses.replace(results, trials=trials), "running")
    assert "repeat of #17" in text


def test_a_running_candidate_without_a_start_or_pattern_is_still_listed(results):
    trials = results.trials.copy()
    is_running = trials["status"] == "running"
    trials.loc[is_running, "started_at"] = pd.NaT
    trials.loc[is_running, "pattern"] = None
    text = slot_html(dataclasses.replace(results, trials=trials), "running")
    assert text.count(">not known<") == 4


def test_what_an_interrupted_search_left_behind_has_no_age(results):
    text = slot_html(dataclasses.replace(results, state="interrupted"), "running")
    assert "data-since" not in text
    assert "2026-11-20 10:57 UTC" in text


def test_thousands_under_way_are_cut_with_a_line_that_says_so(results):
    row = results.trials[results.trials["status"] == "running"].head(1)
    trials = pd.concat([row.assign(number=1000 + number) for number in range(70)], ignore_index=True)
    text = slot_html(dataclasses.replace(results, trials=trials), "running")
    assert "The oldest 64 of 70 under way" in text
    assert text.count("<tr>") == 65


def test_busy_places_say_what_they_take_and_when_that_was_said(results):
    text = slot_html(dataclasses.replace(results, activity=ACTIVITY), "places")
    assert "2 of 4 places" in text
    assert "1.00 of 2" in text or "1 of 2" in text
    assert "8 of 16" in text
    assert "gpu-&lt;1&gt;, gpu-2" in text
    assert (text.count('class="busy"'), text.count('class="free"')) == (2, 2)
    assert 'data-since="2026-11-20T11:05:00Z"' in text
    assert "<dl" not in slot_html(results, "places")


def test_very_many_places_are_one_bar(results):
    many = dataclasses.replace(ACTIVITY, num_running=750, num_places=1000)
    text = slot_html(dataclasses.replace(results, activity=many), "places")
    assert "750 of 1,000 places" in text
    assert "flex-grow:0.750" in text


def test_failures_are_counted_by_kind_with_the_last_message_of_each(results):
    trials = results.trials.copy()
    trials.loc[trials["number"] == 21, "failure_kind"] = "diverged"
    text = slot_html(dataclasses.replace(results, trials=trials), "failures")
    assert text.index("diverged") < text.index("bug")
    assert "<b>2</b>" in text
    assert "&lt;script&gt;" in text
    assert "<script>" not in text
    assert "loss became nan" not in text
    assert "trial=21" in text
    assert "page=table&amp;hide=finished,infeasible,stopped,running" in text


def test_without_failures_it_says_so(empty_results):
    assert "No candidate has failed." in slot_html(empty_results, "failures")


def test_a_failure_without_a_kind_or_message_is_counted(failed_results):
    trials = failed_results.trials.assign(failure_kind=None, failure_message=None)
    text = slot_html(dataclasses.replace(failed_results, trials=trials), "failures")
    assert "unknown" in text
    assert "<b>3</b>" in text


def test_tokens_are_added_up_by_how_trials_ended_and_the_share_of_full_trainings_is_told(results):
    trials = results.trials.assign(tokens_planned=8_000_000)
    text = slot_html(dataclasses.replace(results, trials=trials), "spending")
    num_finished = ((trials["status"] == "finished") & (trials["origin"] != "repeat")).sum()
    assert f"{num_finished * 4} M" in text.replace(".0 M", " M")
    assert "Repeats, for the noise" in text
    assert "Trainings took 50 % of the tokens that full ones would have cost." in text
    assert "full ones" not in slot_html(results, "spending")


def test_a_study_that_counts_no_tokens_says_nothing_of_them(foreign_results):
    text = slot_html(foreign_results, "spending")
    assert "–" in text
    assert "nan" not in text


def test_links_change_what_progress_is_drawn_over(results):
    text = slot_html(results, "progress-choices", View(page="progress", over="time"))
    assert 'href="?page=progress"' in text
    assert 'aria-current="true"' in text
    assert 'href="?page=progress&amp;over=time" aria-current' in text


def test_the_best_within_the_budget_is_named(results):
    text = slot_html(results, "progress-choices", View(budget=1.0))
    rows = results.trials[(results.trials["latency_ms"] <= 1.0) & (results.trials["status"] == "finished")]
    best = rows.sort_values("perplexity")["number"].iloc[0]
    assert "Within ≤ 1 ms (chosen by you)" in text
    assert f"#{best}" in text
    assert "nothing yet" in slot_html(results, "progress-choices", View(budget=0.001))


def test_a_report_has_no_links_that_need_a_server(results):
    text = to_html(report_page(results))
    assert 'href="?' not in text
    assert "Over time" not in text
    assert "#38" in text
