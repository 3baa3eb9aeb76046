"""The page while its study changes, fails, vanishes and comes back, and while its server does."""

import dataclasses
import re

import pytest
from playwright.sync_api import expect

MARKS = "#graph-pareto"


def x_range(page):
    return page.evaluate(f"document.querySelector('{MARKS}').layout.xaxis.range")


def drawn(page):
    page.wait_for_function(f"(document.querySelector('{MARKS}') || {{}}).data?.length > 0")


def zoom(page):
    box = page.locator("#graph-pareto .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    page.mouse.up()


def shorter(results, num_trials):
    return dataclasses.replace(results, trials=results.trials.head(num_trials))


def test_new_results_appear_and_zoom_hidden_marks_and_scrolling_stay(dashboard, source, open_page, rich_results):
    source.show(shorter(rich_results, 30))
    page = open_page(dashboard)
    drawn(page)
    before = x_range(page)
    zoom(page)
    page.wait_for_function(
        f"String(document.querySelector('{MARKS}').layout.xaxis.range) !== '{before[0]},{before[1]}'"
    )
    zoomed = x_range(page)
    page.locator(f"{MARKS} .legendtoggle").first.click()
    page.wait_for_function(f"document.querySelector('{MARKS}').data.some(trace => trace.visible === 'legendonly')")
    page.evaluate("window.scrollTo(0, 200); window.graphBefore = document.querySelector('#graph-pareto')")
    source.show(rich_results)
    expect(page.locator("header .facts")).to_contain_text("33 of 48")
    page.wait_for_timeout(300)
    assert x_range(page) == pytest.approx(zoomed)
    assert page.evaluate(f"document.querySelector('{MARKS}').data.some(trace => trace.visible === 'legendonly')")
    assert page.evaluate(f"window.graphBefore === document.querySelector('{MARKS}')")
    assert page.evaluate("window.scrollY") == 200


def test_a_chosen_candidate_stays_chosen_when_results_come(dashboard, source, open_page, rich_results):
    source.show(shorter(rich_results, 30))
    page = open_page(f"{dashboard}?page=candidate&trial=12")
    expect(page.locator("main")).to_contain_text("#12")
    source.show(rich_results)
    expect(page.locator("header .facts")).to_contain_text("33 of 48")
    expect(page.locator("main")).to_contain_text("#12")
    assert page.url.endswith("?page=candidate&trial=12")


@pytest.mark.parametrize("study", ["empty_results", "failed_results", "foreign_results"])
def test_every_view_of_a_study_that_lacks_much_can_be_opened(study, open_page, served, make_source, request):
    page = open_page(served(make_source(request.getfixturevalue(study))))
    for name in ("Candidate", "Progress", "Why", "Compare", "Table", "Frontier"):
        page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()
        expect(page.locator("nav a[aria-current]")).to_have_text(name)
        expect(page.locator("main h3").first).to_be_visible()
        expect(page.get_by_role("alert").filter(has_text=re.compile("cannot"))).to_have_count(0)


def test_an_empty_study_fills_while_it_is_looked_at(open_page, served, make_source, empty_results, rich_results):
    source = make_source(empty_results)
    page = open_page(served(source))
    expect(page.locator("main h3").first).to_be_visible()
    source.show(rich_results)
    page.wait_for_function(f"document.querySelector('{MARKS}')?.data.some(trace => trace.x?.length > 5)")


TABLE = """
    <table class="sortable">
      <thead><tr><th class="number"><button>Loss</button></th></tr></thead>
      <tbody>{rows}</tbody>
    </table>
"""


def test_a_table_that_was_sorted_stays_sorted_when_its_rows_change(dashboard, open_page):
    page = open_page(dashboard)
    drawn(page)
    tables = [
        TABLE.format(rows="".join(f"<tr><td data-sort='{value}'>{value}</td></tr>" for value in values))
        for values in ((2, 3, 1), (2, 3, 1, 4, 0))
    ]
    page.evaluate("(text) => document.body.insertAdjacentHTML('beforeend', `<div id='made'>${text}</div>`)", tables[0])
    for presses, expected in ((1, ["0", "1", "2", "3", "4"]), (1, ["4", "3", "2", "1", "0"])):
        for _ in range(presses):
            page.locator("#made button").click()
        page.evaluate("(text) => window.hybridnas.fill(document.getElementById('made'), text)", tables[1])
        assert page.locator("#made td").all_inner_texts() == expected


def test_a_field_that_is_typed_into_keeps_its_words_and_the_focus_when_results_come(
    dashboard, source, open_page, rich_results
):
    page = open_page(dashboard)
    drawn(page)
    page.get_by_label("Find").press_sequentially("m2")
    source.show(shorter(rich_results, 30))
    expect(page.locator("header .facts")).to_contain_text("28 of 48")
    expect(page.get_by_label("Find")).to_have_value("m2")
    expect(page.get_by_label("Find")).to_be_focused()


def test_a_study_that_vanishes_stays_on_the_page_and_comes_back(dashboard, source, open_page, rich_results):
    page = open_page(dashboard)
    drawn(page)
    source.fail(FileNotFoundError("the run directory is gone"))
    alarm = page.locator("[data-slot=alarms] [role=alert]")
    expect(alarm).to_contain_text("the run directory is gone")
    assert page.evaluate(f"document.querySelector('{MARKS}').data.length") > 0
    source.show(rich_results)
    expect(alarm).to_have_count(0)


def test_a_server_that_stops_is_told_and_one_that_comes_back_is_followed(source, open_page, serving, rich_results):
    with serving(source.study()) as url:
        page = open_page(url, expected="Failed to load resource")
        drawn(page)
    expect(page.locator("#server")).to_contain_text("does not answer")
    assert page.evaluate(f"document.querySelector('{MARKS}').data.length") > 0
    source.show(shorter(rich_results, 30))
    with serving(source.study(), port=int(url.rstrip("/").rpartition(":")[2])):
        expect(page.locator("#server")).to_be_empty()
        expect(page.locator("header .facts")).not_to_contain_text("33 of 48")


def test_a_server_that_refuses_is_quoted(dashboard, source, open_page):
    page = open_page(dashboard, expected="Failed to load resource")
    drawn(page)
    page.route(
        "**/look*", lambda route: route.fulfill(status=401, content_type="text/plain", body="It needs its token.")
    )
    expect(page.locator("#server")).to_contain_text("It needs its token. This page shows what it was last told")
    page.unroute("**/look*")
    expect(page.locator("#server")).to_be_empty()


def test_two_studies_change_places_and_keep_apart(open_page, served, make_source, rich_results, empty_results):
    page = open_page(served(make_source(rich_results, "first"), make_source(empty_results, "second")))
    drawn(page)
    expect(page.locator("header .facts")).to_contain_text("33 of 48")
    page.get_by_label("Study").select_option("second")
    expect(page.locator("header .facts")).not_to_contain_text("33 of 48")
    assert page.url.endswith("?study=second")
    page.go_back()
    expect(page.locator("header .facts")).to_contain_text("33 of 48")
    expect(page.get_by_label("Study")).to_have_value("first")
