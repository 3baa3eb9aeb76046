"""The report, opened from disk by a browser that is offline."""

import dataclasses

import pandas as pd
import pytest
from playwright.sync_api import expect

from dashboards.elements import graphs_in
from dashboards.page import report_page
from dashboards.report import write_report


@pytest.fixture
def report(rich_results, tmp_path):
    path = tmp_path / "report.html"
    write_report(rich_results, path)
    return path.as_uri()


def test_every_picture_is_drawn_offline(report, rich_results, open_page):
    page = open_page(report)
    names = [graph.name for graph in graphs_in([report_page(rich_results)])]
    page.wait_for_function(f"document.querySelectorAll('.js-plotly-plot .main-svg').length >= {len(names)}")
    for name in names:
        assert page.evaluate(f"document.getElementById('graph-{name}').data.length") >= 0, name
        assert page.locator(f"#graph-{name} .main-svg").count() > 0, name


def test_a_crowd_of_candidates_is_drawn_too(rich_results, open_page, tmp_path):
    copies = [rich_results.trials.assign(number=rich_results.trials["number"] + 40 * copy) for copy in range(30)]
    crowd = dataclasses.replace(rich_results, trials=pd.concat(copies, ignore_index=True), trainings=())
    write_report(crowd, tmp_path / "crowd.html")
    page = open_page((tmp_path / "crowd.html").as_uri())
    page.wait_for_function("document.getElementById('graph-pareto').calcdata?.length > 0")
    assert page.evaluate("document.getElementById('graph-pareto').data.some((trace) => trace.type === 'scattergl')")
    # Plotly says this where it cannot draw.
    expect(page.get_by_text("WebGL is not supported")).to_have_count(0)


def test_its_pictures_are_those_of_the_live_page(report, dashboard, open_page):
    summary = "Array.from(element.data, (trace) => [trace.name, trace.type, trace.x?.length ?? 0])"
    report_page = open_page(report)
    live = open_page(dashboard)
    for page in (report_page, live):
        page.wait_for_function("document.querySelector('#graph-pareto')?.data?.length > 0")
    one = live.evaluate(f"(() => {{ const element = document.querySelector('#graph-pareto'); return {summary} }})()")
    other = report_page.evaluate(
        f"(() => {{ const element = document.getElementById('graph-pareto'); return {summary} }})()"
    )
    assert one == other
    assert one


def test_the_theme_can_be_changed_and_nothing_keeps_anybody_out(report, open_page, violations):
    page = open_page(report)
    page.wait_for_function("document.getElementById('graph-pareto').data?.length > 0")
    paper = "document.getElementById('graph-pareto').layout.template.layout.paper_bgcolor"
    light = page.evaluate(paper)
    assert violations(page) == []
    page.locator("[data-theme-button]").click()
    page.wait_for_function(f"{paper} !== '{light}'")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert violations(page, rules=["color-contrast"]) == []
