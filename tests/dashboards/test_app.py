import json
import logging

import pytest

from dashboards.app import create_app
from dashboards.page import FIGURES

GRAPHS = [f"graph-{name}" for name in FIGURES]


class Study:
    """Results that change, and can fail to be read."""

    def __init__(self, *stages):
        self.stages, self.at, self.num_loads, self.error = stages, 0, 0, None

    def load(self):
        self.num_loads += 1
        if self.error is not None:
            raise self.error
        return self.stages[self.at]

    def revision(self):
        return self.at


def open_app(study):
    app = create_app(study.load, revision=study.revision, title="Search <1>")
    return app, app.server.test_client()


def components(node):
    if isinstance(node, list):
        return [found for child in node for found in components(child)]
    if not isinstance(node, dict) or "props" not in node:
        return []
    return [node, *components(node["props"].get("children"))]


def layout_of(client):
    response = client.get("/_dash-layout")
    assert response.status_code == 200
    return components(response.get_json())


def by_id(found, name):
    (component,) = [entry for entry in found if entry["props"].get("id") == name]
    return component["props"]


def tick(client, *, seen):
    dependencies = client.get("/_dash-dependencies").get_json()
    (entry,) = [item for item in dependencies if item["clientside_function"] is None]
    outputs = [
        dict(zip(("id", "property"), part.rsplit(".", 1), strict=True))
        for part in entry["output"].strip(".").split("...")
    ]
    body = {
        "output": entry["output"],
        "outputs": outputs,
        "inputs": [{"id": "clock", "property": "n_intervals", "value": 1}],
        "changedPropIds": ["clock.n_intervals"],
        "state": [{"id": "revision", "property": "data", "value": seen}],
    }
    return client.post("/_dash-update-component", json=body)


def test_the_page_is_served_from_here_alone_in_english(results):
    _, client = open_app(Study(results))
    text = client.get("/").get_data(as_text=True)
    assert '<html lang="en">' in text
    assert "<title>Search &lt;1&gt;</title>" in text
    assert "http://" not in text
    assert "https://" not in text
    assert "assets/page.css" in text
    assert "assets/table.js" in text
    assert "assets/live.js" in text
    assert "report.js" not in text


def test_the_layout_holds_every_graph_with_the_flags_that_forbid_uploading(results):
    _, client = open_app(Study(results))
    graphs = [entry["props"] for entry in layout_of(client) if entry["type"] == "Graph"]
    assert [graph["id"] for graph in graphs] == GRAPHS
    for graph in graphs:
        assert graph["config"]["showSendToCloud"] is False
        assert graph["config"]["plotlyServerURL"] == ""
        assert graph["config"]["displaylogo"] is False
        assert graph["figure"]["layout"]["uirevision"] == "constant"


def test_nothing_is_read_or_drawn_while_the_revision_stays(results):
    study = Study(results)
    _, client = open_app(study)
    seen = by_id(layout_of(client), "revision")["data"]
    num_loads = study.num_loads
    assert tick(client, seen=seen).status_code == 204
    assert study.num_loads == num_loads


def test_a_new_revision_changes_slots_and_graphs_in_place(empty_results, results):
    study = Study(empty_results, results)
    _, client = open_app(study)
    seen = by_id(layout_of(client), "revision")["data"]
    study.at = 1
    response = tick(client, seen=seen).get_json()["response"]
    assert response["revision"]["data"] == repr(1)
    assert list(response["figures"]["data"]) == GRAPHS
    assert "33 of 48" in json.dumps(response["slot-header"])
    assert "strip-row" in json.dumps(response["slot-strips"])
    assert response["graph-pareto"]["style"] == {"height": "520px"}


def test_results_that_cannot_be_read_are_a_message_and_the_page_stays(results, caplog):
    study = Study(results)
    _, client = open_app(study)
    seen = by_id(layout_of(client), "revision")["data"]
    study.at, study.error = 1, OSError("the study is <locked>")
    with caplog.at_level(logging.ERROR, logger="dashboards.app"):
        response = tick(client, seen=seen).get_json()["response"]
    assert "OSError: the study is <locked>" in json.dumps(response["alarm"])
    assert set(response) == {"alarm", "revision"}
    assert "could not read the results" in caplog.text


def test_a_page_opened_while_nothing_can_be_read_recovers_by_itself(results):
    study = Study(results)
    study.error = OSError("locked")
    _, client = open_app(study)
    found = layout_of(client)
    assert "OSError: locked" in json.dumps(by_id(found, "alarm"))
    assert by_id(found, "content")["className"] == "unread"
    study.error = None
    response = tick(client, seen=by_id(found, "revision")["data"]).get_json()["response"]
    assert response["content"]["className"] == "read"
    assert response["alarm"]["children"] == []


@pytest.mark.parametrize("study", ["empty_results", "failed_results", "foreign_results"])
def test_every_study_can_be_shown(study, request):
    _, client = open_app(Study(request.getfixturevalue(study)))
    assert [entry["props"]["id"] for entry in layout_of(client) if entry["type"] == "Graph"] == GRAPHS


def test_every_figure_the_redraw_sends_reaches_a_graph_through_the_browser(results):
    _, client = open_app(Study(results))
    dependencies = client.get("/_dash-dependencies").get_json()
    (browser,) = [item for item in dependencies if item["clientside_function"] is not None]
    assert browser["clientside_function"] == {"namespace": "hybridnas", "function_name": "redraw"}
    assert browser["output"].strip(".").split("...") == [f"{name}.figure" for name in GRAPHS]


def test_the_clock_stands_still_while_results_are_read(results):
    _, client = open_app(Study(results))
    dependencies = client.get("/_dash-dependencies").get_json()
    (server,) = [item for item in dependencies if item["clientside_function"] is None]
    assert server["running"]["running"]["clock.disabled"] is True
