import dataclasses
import itertools
import re

import pytest

from dashboards.elements import DataTable, Element, element, inert_json
from dashboards.markup import to_html
from dashboards.page import VIEWS, live_page, report_page
from dashboards.serving.studies import Reading
from dashboards.standalone import SCRIPTS, asset, standalone_html
from dashboards.view import View


def live(results, names=("one",), **changes):
    reading = Reading(name="one", revision="1", results=results, error="")
    return live_page([reading], View(**changes), names=list(names), complaints=[])


def elements_in(tree):
    yield tree
    for child in tree.children:
        if isinstance(child, Element):
            yield from elements_in(child)


def tables_in(tree):
    return [child for node in elements_in(tree) for child in node.children if isinstance(child, DataTable)]


@pytest.fixture(scope="module")
def report_text(results):
    return to_html(report_page(results))


def test_the_first_thing_the_keyboard_meets_leads_to_the_content(results, report_text):
    for text in (report_text, to_html(live(results))):
        assert re.findall(r"<(?:a|button|select)[^>]*>", text)[0] == '<a href="#main" class="skip">'
        assert text.count('id="main" tabindex="-1"') == 1


@pytest.mark.parametrize("name", VIEWS)
def test_the_open_view_is_marked_and_headings_leave_out_no_level(results, name):
    text = to_html(live(results, page=name))
    (current,) = re.findall(r'<a href="[^"]*" aria-current="page">([^<]*)</a>', text)
    assert current == VIEWS[name][0]
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert levels[:2] == [1, 2]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_each_view_of_a_report_links_to_its_sections(report_text):
    links = re.findall(r'href="#([\w-]+)"', report_text)
    places = re.findall(r' id="([\w-]+)"', report_text)
    assert set(links) <= set(places)
    assert {f"view-{name}" for name in VIEWS} <= set(links)
    assert {"candidates", "provenance"} <= set(links)


def test_a_report_holds_nothing_that_needs_a_server(results, report_text):
    assert "data-live" not in report_text
    assert 'href="?' not in report_text
    assert "data-live" in to_html(live(results))


def test_a_report_has_the_table_before_any_script_and_the_live_page_only_its_data(results, report_text):
    assert "<caption>38 candidates." in report_text
    page = live(results, page="table")
    assert [table.name for table in tables_in(page)] == ["candidates"]
    assert "<caption>" not in to_html(page)
    assert 'type="application/json"' in to_html(page)


def test_the_choice_of_a_theme_says_which_it_is(report_text):
    (button,) = re.findall(r"<button[^>]*data-theme-button[^>]*>.*?</button>", report_text)
    assert '<span class="in-light">Light</span><span class="in-dark">Dark</span>' in button


def test_one_study_is_no_choice(results):
    assert 'data-view="study"' not in to_html(live(results))
    assert 'data-view="study"' in to_html(live(results, names=("one", "two")))


def test_every_graph_has_its_twin_beside_it_and_is_no_picture_to_screen_readers(results, report_text):
    graphs = re.findall(r'id="graph-([\w-]+)" role="group" aria-label="[^"]', report_text)
    assert graphs == re.findall(r'<details class="twin" data-twin="([\w-]+)">', report_text)
    assert len(graphs) > len(VIEWS)


def test_a_table_is_its_data_until_a_script_or_a_report_makes_more_of_it():
    table = DataTable(
        name="small", label="a < b", data=inert_json({"a": "</script>"}), still=lambda: element("p", "no")
    )
    assert to_html(table) == (
        '<div class="data-table" data-table="small" data-label="a &lt; b">'
        r'<script type="application/json">{"a":"\u003c/script\u003e"}</script></div>'
    )


def test_colours_are_settled_before_anything_is_painted():
    text = standalone_html(element("div", "x"), title="t")
    head, body = text.split("</head>")
    assert asset("theme.js") in head
    assert asset("theme.js") not in body
    for name in SCRIPTS:
        assert asset(name) in body


def test_a_study_that_was_never_read_has_a_page(results):
    reading = Reading(name="one", revision="", results=None, error="locked <b>")
    for name in VIEWS:
        text = to_html(live_page([reading], View(page=name), names=["one"], complaints=["no such part"]))
        assert "locked &lt;b&gt;" in text
        assert "no such part" in text
    assert "cannot be read" not in to_html(live(dataclasses.replace(results, caveats=())))
