import html
import json
import logging
import re
from pathlib import Path

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from dashboards import page
from dashboards.app import create_app
from dashboards.elements import Graph
from dashboards.page import VIEWS
from dashboards.serving.drawn import MAX_KEPT
from dashboards.serving.studies import Study


class Source:
    """Results that change, and can fail to be read."""

    def __init__(self, *stages):
        self.stages, self.at, self.error = stages, 0, None

    def load(self):
        if self.error is not None:
            raise self.error
        return self.stages[self.at]

    def study(self, name="a"):
        return Study(name=name, load=self.load, revision=lambda: self.at)


class Browser:
    """Asks as `assets/live.js` does."""

    def __init__(self, *studies):
        self.client = create_app(studies, title="Search <1>").server.test_client()
        self.shown = ""

    def look(self, query=""):
        response = self.client.get("/look", query_string={"query": query, "shown": self.shown})
        if response.status_code == 204:
            return None
        assert response.status_code == 200
        answer = response.get_json()
        self.shown = answer["tag"]
        return answer


def words(text):
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def test_the_page_is_served_from_here_alone_in_english(results):
    text = Browser(Source(results).study()).client.get("/").get_data(as_text=True)
    assert '<html lang="en" data-interval="2000"' in text
    assert "<title>Search &lt;1&gt;</title>" in text
    assert "http://" not in text
    assert "https://" not in text
    for path in (Path(page.__file__).parent / "assets").iterdir():
        assert (f"assets/{path.name}" in text) is (path.name not in ("report.js", "theme.js", "unpack.js")), path.name


def test_the_first_answer_is_the_whole_page_and_the_next_is_nothing(results):
    browser = Browser(Source(results).study())
    answer = browser.look()
    assert answer["title"] == "a · Frontier"
    assert "33 of 48" in words(answer["content"])
    assert browser.look() is None


def test_every_view_comes_with_a_place_for_each_of_its_figures(results):
    browser = Browser(Source(results).study())
    for name in VIEWS:
        answer = browser.look(f"?page={name}")
        assert re.findall(r'id="graph-([^"]*)"', answer["content"]) == list(answer["figures"])


@pytest.mark.parametrize("path", ["os/x.py", "dash/../../../etc/passwd", "plotly/x.js"])
def test_a_script_that_dash_does_not_have_is_not_there_and_no_failure(results, path, caplog):
    answer = Browser(Source(results).study()).client.get(f"/_dash-component-suites/{path}")
    assert answer.status_code == 404
    assert not caplog.text


def test_graphs_are_drawn_with_the_flags_that_forbid_uploading(results):
    text = Browser(Source(results).study()).client.get("/").get_data(as_text=True)
    (config,) = re.findall('data-graph-config="([^"]*)"', text)
    config = json.loads(html.unescape(config))
    assert (config["showSendToCloud"], config["plotlyServerURL"], config["displaylogo"]) == (False, "", False)


def test_plotly_is_the_one_of_the_reports_and_stays_in_the_browser(results):
    client = Browser(Source(results).study()).client
    (path,) = re.findall('src="(plotly-[^"]*)"', client.get("/").get_data(as_text=True))
    response = client.get(path)
    assert response.get_data(as_text=True) == get_plotlyjs()
    assert response.headers["Cache-Control"] == "max-age=31536000"


def test_figures_travel_as_text_with_their_height_and_what_they_show_in_words(results):
    sent = Browser(Source(results).study()).look()["figures"]["pareto"]
    assert json.loads(sent["figure"])["layout"]["height"] == sent["height"]
    assert sent["label"]


def test_a_new_revision_sends_only_what_differs(empty_results, results):
    source = Source(empty_results, results)
    browser = Browser(source.study())
    browser.look()
    source.at = 1
    answer = browser.look()
    assert "content" not in answer
    assert "33 of 48" in words(answer["slots"]["header"])
    assert "views" not in answer["slots"]
    assert list(answer["figures"]) == ["pareto"]


def test_a_new_revision_of_the_same_results_sends_nothing_but_its_tag(results):
    source = Source(results, results)
    browser = Browser(source.study())
    before = browser.look()["tag"]
    source.at = 1
    answer = browser.look()
    assert (answer["slots"], answer["figures"]) == ({}, {})
    assert answer["tag"] != before


def test_another_view_is_sent_whole(results):
    browser = Browser(Source(results).study())
    browser.look()
    answer = browser.look("?page=table")
    assert "slots" not in answer
    assert re.findall('aria-current="page">([^<]*)<', answer["content"]) == ["Table"]


def test_a_page_that_the_server_has_forgotten_is_sent_whole_again(results):
    source = Source(results, results)
    browser, others = Browser(source.study()), None
    browser.look()
    others = browser.client
    for number in range(MAX_KEPT):
        others.get("/look", query_string={"query": f"?trial={number}"})
    source.at = 1
    assert "content" in browser.look()


def test_a_tag_that_nobody_gave_is_answered_with_the_whole_page(results):
    browser = Browser(Source(results).study())
    browser.shown = "<made up>"
    assert "content" in browser.look()


def test_several_browsers_share_one_drawing(results, monkeypatch):
    drawn = []
    title, show = VIEWS["frontier"]
    counting = dict(VIEWS) | {"frontier": (title, lambda *given: drawn.append(1) or show(*given))}
    monkeypatch.setattr(page, "VIEWS", counting)
    browser = Browser(Source(results).study())
    answers = []
    for _ in range(2):
        browser.shown = ""
        answers.append(browser.look())
    assert answers[0] == answers[1]
    assert len(drawn) == 1


def test_a_view_that_cannot_be_drawn_says_so_and_the_others_still_can(results, monkeypatch, caplog):
    def broken(*given):
        raise RuntimeError("no such <column>")

    monkeypatch.setattr(page, "VIEWS", dict(VIEWS) | {"why": ("Why", broken)})
    source = Source(results, results)
    browser = Browser(source.study())
    browser.look()
    with caplog.at_level(logging.ERROR, logger="dashboards.app"):
        answer = browser.look("?page=why")
    assert 'role="alert"' in answer["content"]
    assert "Why cannot be drawn" in words(answer["content"])
    assert "RuntimeError: no such <column>" in words(answer["content"])
    assert "could not draw why of a" in caplog.text
    assert "Table" in words(answer["content"])
    assert "33 of 48" in words(browser.look()["content"])
    browser.look("?page=why")
    monkeypatch.setattr(page, "VIEWS", VIEWS)
    source.at = 1
    assert "33 of 48" in words(browser.look("?page=why")["content"])


def test_a_figure_that_cannot_be_written_is_a_view_that_cannot_be_drawn(results, monkeypatch):
    def view(*given):
        return [Graph(name="heightless", figure=go.Figure(), label="a figure without a height")]

    monkeypatch.setattr(page, "VIEWS", dict(VIEWS) | {"why": ("Why", view)})
    assert "Why cannot be drawn" in words(Browser(Source(results).study()).look("?page=why")["content"])


def test_results_that_cannot_be_read_are_a_message_and_the_page_stays(results):
    source = Source(results, results)
    browser = Browser(source.study())
    browser.look()
    source.at, source.error = 1, OSError("the study is <locked>")
    answer = browser.look()
    assert list(answer["slots"]) == ["alarms"]
    assert "OSError: the study is <locked>" in words(answer["slots"]["alarms"])
    assert "read before" in words(answer["slots"]["alarms"])
    assert browser.look() is None
    source.error = None
    (alarms,) = browser.look()["slots"].values()
    assert words(alarms) == ""


def test_a_page_opened_while_nothing_can_be_read_recovers_by_itself(results):
    source = Source(results)
    source.error = OSError("locked")
    browser = Browser(source.study())
    assert "OSError: locked" in words(browser.look()["content"])
    source.error = None
    assert "33 of 48" in words(browser.look()["slots"]["header"])


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("study", ["results", "empty_results", "failed_results", "foreign_results"])
def test_every_view_of_every_study_can_be_shown(study, name, request):
    answer = Browser(Source(request.getfixturevalue(study)).study()).look(f"?page={name}")
    assert "cannot be drawn" not in words(answer["content"])


def test_a_link_that_asks_for_what_cannot_be_is_told_so_and_shows_the_rest(results):
    content = words(Browser(Source(results).study()).look("?page=table&budget=cheap&colour=red")["content"])
    assert "budget was left out" in content
    assert "'colour'" in content


def test_a_study_that_is_not_followed_is_said_and_the_first_is_shown(results):
    answer = Browser(Source(results).study("a")).look("?study=gone&overlay=older,a")
    assert answer["title"] == "a · Frontier"
    for name in ("gone", "older"):
        assert f"the study '{name}', which is not here; there are a." in words(answer["content"])


def test_one_of_several_studies_is_chosen_by_its_name(results, empty_results):
    browser = Browser(Source(results).study("a"), Source(empty_results).study("b <&>"))
    assert "33 of 48" in words(browser.look()["content"])
    answer = browser.look("?study=b+%3C%26%3E")
    assert answer["title"] == "b <&> · Frontier"
    assert "0 of 48" in words(answer["content"])


def test_the_page_may_talk_to_its_own_server_alone_and_nothing_of_an_answer_is_kept(results):
    client = Browser(Source(results).study()).client
    for path in ("/", "/look"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self'; ")
        assert "http" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
