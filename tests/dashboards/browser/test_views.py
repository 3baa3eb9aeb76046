"""What a reader does: follow links, press marks, brush, compare, take files away, come back."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

VIEWS = ("Frontier", "Candidate", "Progress", "Why", "Compare", "Table")
PLOT = "#graph-pareto"


def drawn(page, graph="pareto"):
    page.wait_for_function(f"(document.querySelector('#graph-{graph}') || {{}}).data?.length > 0")


def press_mark(page):
    """Press the mark of the first candidate on the frontier, and return its number."""
    place = page.evaluate(
        f"""() => {{
            const plot = document.querySelector('{PLOT}'), {{xaxis, yaxis}} = plot._fullLayout;
            const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
            const first = (entry) => Array.isArray(entry) ? entry[0] : entry;
            for (const trace of plot._fullData) {{
              const isOpen = trace.marker?.symbol?.includes?.('open');
              if (trace.customdata === undefined || trace.yaxis !== 'y' || isOpen) continue;
              for (let index = 0; index < trace.x.length; index++) {{
                const x = xaxis.d2p(trace.x[index]), y = yaxis.d2p(trace.y[index]);
                if (x > 5 && y > 5 && x < xaxis._length - 5 && y < yaxis._length - 5)
                  return {{x: box.x + x, y: box.y + y, number: Number(first(trace.customdata[index]))}};
              }}
            }}
        }}"""
    )
    page.mouse.move(place["x"] - 1, place["y"] - 1)
    page.mouse.move(place["x"], place["y"])
    page.locator(f"{PLOT} .hoverlayer .hovertext").first.wait_for()
    page.mouse.click(place["x"], place["y"])
    return place["number"]


def open_view(page, name):
    page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()
    expect(page.locator("nav a[aria-current]")).to_have_text(name)


def test_a_pressed_mark_is_the_candidate_that_is_looked_at(dashboard, open_page):
    page = open_page(dashboard)
    drawn(page)
    press_mark(page)
    page.wait_for_url("**trial=*")
    number = page.url.partition("trial=")[2].partition("&")[0]
    expect(page.locator("main")).to_contain_text(f"#{number}")
    open_view(page, "Candidate")
    assert f"trial={number}" in page.url
    expect(page.locator("main")).to_contain_text(f"#{number}")


def test_the_back_button_goes_through_the_views_and_forward_again(dashboard, open_page):
    page = open_page(dashboard)
    for name in ("Why", "Table", "Progress"):
        open_view(page, name)
    page.go_back()
    expect(page.locator("nav a[aria-current]")).to_have_text("Table")
    page.go_back()
    expect(page.locator("nav a[aria-current]")).to_have_text("Why")
    page.go_forward()
    expect(page.locator("nav a[aria-current]")).to_have_text("Table")
    assert page.title() == "a study · Table"


def test_the_last_of_many_quick_choices_is_what_is_shown(dashboard, open_page):
    page = open_page(dashboard)
    drawn(page)
    page.evaluate(
        """() => {
            for (const name of ['why', 'candidate', 'table', 'progress']) window.hybridnas.change({ page: name });
            window.hybridnas.change({ trial: 12 });
            window.hybridnas.change({ page: 'candidate' });
        }"""
    )
    expect(page.locator("nav a[aria-current]")).to_have_text("Candidate")
    expect(page.locator("main")).to_contain_text("#12")
    page.wait_for_timeout(500)
    expect(page.locator("nav a[aria-current]")).to_have_text("Candidate")
    page.go_back()
    expect(page.locator("nav a[aria-current]")).to_have_text("Progress")


def test_a_link_within_the_page_leads_to_the_top_of_the_next_view(dashboard, open_page):
    page = open_page(dashboard)
    drawn(page)
    page.locator("main").get_by_role("link", name="Open #30").click()
    expect(page.locator("nav a[aria-current]")).to_have_text("Candidate")
    assert page.evaluate("[window.scrollY, document.activeElement.id]") == [0, "main"]


def test_a_copied_link_shows_another_reader_the_same(dashboard, open_page):
    page = open_page(dashboard)
    drawn(page)
    press_mark(page)
    page.wait_for_url("**trial=*")
    open_view(page, "Candidate")
    other = open_page(page.url)
    expect(other.locator("nav a[aria-current]")).to_have_text("Candidate")
    page.wait_for_timeout(500)
    assert other.locator("main").inner_text() == page.locator("main").inner_text()


def test_a_link_that_asks_too_much_is_answered_in_words(dashboard, open_page):
    page = open_page(f"{dashboard}?page=elsewhere&trial=-3&brush=x")
    expect(page.locator("[data-slot=caveats]")).to_contain_text("page was left out")
    expect(page.locator("[data-slot=caveats]")).to_contain_text("trial was left out")
    drawn(page)


@pytest.mark.parametrize("name", VIEWS)
def test_a_candidate_that_does_not_exist_is_said_and_no_view_breaks(name, dashboard, open_page):
    page = open_page(f"{dashboard}?page={name.lower()}&trial=99999&compare=99998,99999")
    expect(page.locator("nav a[aria-current]")).to_have_text(name)
    expect(page.locator("main h3").first).to_be_visible()


def test_a_candidate_is_taken_into_the_comparison_and_out_again(dashboard, open_page):
    page = open_page(f"{dashboard}?page=compare&compare=12,30")
    columns = page.locator("main a.remove")
    expect(columns).to_have_count(2)
    page.get_by_label("Trials").fill("12,30,17")
    page.get_by_label("Trials").press("Enter")
    expect(columns).to_have_count(3)
    assert page.url.endswith("?page=compare&compare=12,30,17")
    columns.first.click()
    expect(columns).to_have_count(2)
    assert page.url.endswith("?page=compare&compare=30,17")


@pytest.mark.parametrize(
    ("words", "ending", "content"), [("Specification", ".yaml", "hidden_size"), ("CSV", ".csv", "perplexity")]
)
def test_what_is_known_of_a_candidate_can_be_taken_away(words, ending, content, dashboard, open_page):
    page = open_page(f"{dashboard}?page=candidate&trial=12")
    link = page.locator("a[download]").filter(has_text=re.compile(words, re.IGNORECASE)).first
    with page.expect_download() as started:
        link.click()
    assert started.value.suggested_filename.endswith(ending)
    assert content in Path(started.value.path()).read_text(encoding="utf-8")


def test_a_brush_picks_candidates_in_both_pictures_and_goes_into_the_link(dashboard, open_page):
    page = open_page(f"{dashboard}?page=why")
    drawn(page, "parallel")
    sentence = page.locator("[data-brush-sentence]")
    expect(sentence).to_have_text("All 30 candidates are picked out.")
    page.locator("#graph-parallel").scroll_into_view_if_needed()
    x, top, middle = page.evaluate(
        """() => {
            const plot = document.getElementById('graph-parallel'), {xaxis, yaxis} = plot._fullLayout;
            const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
            return [box.x + xaxis.d2p(0), box.y + yaxis.d2p(1), box.y + yaxis.d2p(0.5)];
        }"""
    )
    page.mouse.move(x, middle)
    page.mouse.down()
    page.mouse.move(x, top, steps=4)
    page.mouse.up()
    page.wait_for_url("**brush=*")
    expect(sentence).to_contain_text(re.compile(r"^\d+ of 30 candidates picked out"))
    picked = "document.getElementById('graph-picked').data.some((trace) => trace.selectedpoints != null)"
    page.wait_for_function(picked)
    other = open_page(page.url)
    expect(other.locator("[data-brush-sentence]")).to_have_text(sentence.inner_text())
    page.get_by_role("link", name="Pick all again").click()
    expect(sentence).to_have_text("All 30 candidates are picked out.")


def test_views_are_reached_and_left_with_the_keyboard_alone(dashboard, open_page):
    page = open_page(dashboard)
    drawn(page)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Table":
            break
    page.keyboard.press("Enter")
    expect(page.locator("nav a[aria-current]")).to_have_text("Table")
    # The reader goes on from the same place.
    assert page.evaluate("document.activeElement.textContent") == "Table"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("nav a[aria-current]")).to_have_text("Compare")


def test_the_theme_changes_page_and_figures_at_once_and_is_remembered(dashboard, open_page):
    page = open_page(dashboard)
    drawn(page)
    background = "getComputedStyle(document.body).backgroundColor"
    paper = f"document.querySelector('{PLOT}').layout.template.layout.paper_bgcolor"
    light = page.evaluate(background), page.evaluate(paper)
    page.locator("[data-theme-button]").click()
    page.wait_for_function(f"{paper} !== '{light[1]}'")
    dark = page.evaluate(background), page.evaluate(paper)
    assert dark[0] != light[0]
    page.reload()
    drawn(page)
    assert (page.evaluate(background), page.evaluate(paper)) == dark
