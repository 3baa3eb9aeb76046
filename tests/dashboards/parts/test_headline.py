import dataclasses
from datetime import UTC, datetime

import pytest

from dashboards.frame import LATENCY_MS, MEMORY_GIB, PERPLEXITY, Activity
from dashboards.markup import to_html
from dashboards.parts.headline import headline
from dashboards.view import View

STUDIES = ("results", "empty_results", "failed_results", "foreign_results")


def text_of(results, view=None):
    return to_html(headline(results, view))


@pytest.mark.parametrize("state", ["running", "finished", "interrupted"])
@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_a_headline_with_its_state(study, state, request):
    text = text_of(dataclasses.replace(request.getfixturevalue(study), state=state))
    assert f"state-{state}" in text
    assert "nan" not in text.lower().replace("nanosecond", "")


def test_one_objective_and_three_have_a_headline(results):
    trials = results.trials.assign(memory_gib=2.0)
    for objectives in ((PERPLEXITY,), (PERPLEXITY, LATENCY_MS, MEMORY_GIB)):
        text = text_of(dataclasses.replace(results, trials=trials, objectives=objectives, limits={}))
        assert "Best perplexity" in text
        assert ("Least latency" in text) == (len(objectives) > 1)


def test_it_says_how_far_the_search_is_and_how_long_it_has_to_go(results):
    text = text_of(results)
    assert "33 of 48" in text
    assert "3 failed, 3 over a limit, 2 running" in text
    assert "Time left" in text
    assert "50 min" in text or "51 min" in text
    assert "at the pace of the last 32" in text
    assert "width:68.8%" in text


def test_the_last_result_has_an_age_that_the_browser_keeps(results, empty_results):
    assert 'data-since="2026-11-20T10:52:30Z"' in text_of(results)
    assert "last-result" not in text_of(empty_results)
    assert "last-result" not in text_of(dataclasses.replace(results, state="finished"))


@pytest.mark.parametrize(
    ("last", "verdict", "value"),
    [(200.0, "getting better", "+100.0 %"), (100.2, "hardly better", "+0.2 %"), (100.0, "no better", "+0 %")],
)
def test_the_growth_over_the_last_fifth_is_told_in_words(results, last, verdict, value):
    volumes = results.trials["hypervolume"].where(results.trials["hypervolume"].isna(), 100.0)
    ended = results.trials["finish_index"] == results.trials.loc[volumes.notna(), "finish_index"].max()
    text = text_of(dataclasses.replace(results, trials=results.trials.assign(hypervolume=volumes.mask(ended, last))))
    assert f"{verdict} over the last 6 candidates" in text
    assert value in text


def test_nothing_is_said_of_a_trend_from_few_candidates(failed_results):
    assert "too early to say" in text_of(failed_results)


def test_a_quiet_search_gets_a_line_the_browser_shows_once_it_is_old(results):
    text = text_of(results)
    # The last dispatch came after the last result; a quarter of an hour is more than three evaluations of four minutes.
    assert 'data-quiet-since="2026-11-20T11:00:54Z"' in text
    assert 'data-quiet-after-s="900"' in text
    assert 'hidden="hidden"' in text
    alive = Activity(at=datetime(2026, 11, 20, 15, tzinfo=UTC), num_running=1, num_places=1, num_cpus=1, num_gpus=0)
    assert 'data-quiet-since="2026-11-20T15:00:00Z"' in text_of(dataclasses.replace(results, activity=alive))


def test_long_evaluations_may_be_silent_for_longer(results):
    trials = results.trials.copy()
    trials["started_at"] -= (trials["finished_at"] - trials["started_at"]) * 29
    assert 'data-quiet-after-s="21600"' in text_of(dataclasses.replace(results, trials=trials))


def test_an_interrupted_search_says_how_to_go_on(results):
    text = text_of(dataclasses.replace(results, state="interrupted", directory="runs/my <run>"))
    assert "<code>nas resume 'runs/my &lt;run&gt;'</code>" in text
    assert "hidden" not in text
    assert "nas resume DIR" in text_of(dataclasses.replace(results, state="interrupted"))
    assert "nas resume" not in text_of(dataclasses.replace(results, state="finished"))


def test_the_choice_is_the_best_in_the_readers_budget_else_the_knee_else_the_cheapest(results):
    assert "Best at ≤ 1.5 ms" in text_of(results, View(budget=1.5))
    assert "nothing finished within it" in text_of(results, View(budget=-5.0))
    known = dataclasses.replace(results, knee=17)
    assert "Best at ≤ 1.5 ms" in text_of(known, View(budget=1.5))
    assert "Knee of the frontier" in text_of(known)
    assert "Least latency" in text_of(results)
