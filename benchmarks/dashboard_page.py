"""What a reader does with the page of the dashboard, and how long each waits.

Times are milliseconds by the page's own clock, from the reader's input (or, for the first picture, from the navigation)
to the frame after the picture was drawn. Each action sees that what was drawn is right before its time counts. Serving
the page is `dashboard.py`'s.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from benchmarks.document import IncorrectError

REPETITIONS: Final = 7
VIEWS: Final = ("candidate", "progress", "why", "compare", "table")

_PICTURE: Final = "#graph-pareto"
WAIT_MS: Final = 60_000

# `measure(kind, name)` makes a promise of the milliseconds from the next input (or question) to the picture after it.
_WATCH: Final = """
(() => {
  const painted = (then) => requestAnimationFrame(() => setTimeout(() => then(performance.now())));
  const graph = (name) => document.getElementById(`graph-${name}`);
  const fetchAsItWas = window.fetch;
  let asked = 0;
  window.fetch = function (...given) { asked = performance.now(); return fetchAsItWas.apply(this, given); };
  window.measure = function (kind, name) {
    window.measured = new Promise(function (resolve) {
      let began = null;
      if (kind !== "question") {
        window.addEventListener(kind, (event) => { began = began ?? event.timeStamp; }, { capture: true, once: true });
      }
      graph(name).on("plotly_afterplot", function done() {
        if (kind !== "question" && began === null) return;
        graph(name).removeListener("plotly_afterplot", done);
        const from = kind === "question" ? asked : began;
        painted((now) => resolve(now - from));
      });
    });
  };
  window.firstPicture = new Promise(function (resolve) {
    (function look() {
      const first = document.querySelector("#graph-pareto.js-plotly-plot");
      if (first && first.calcdata && first.calcdata.length) painted(resolve);
      else requestAnimationFrame(look);
    })();
  });
})();
"""

_NUM_MARKS: Final = (
    f"document.querySelector('{_PICTURE}')._fullData"
    ".reduce((sum, trace) => sum + (trace.mode?.includes('markers') && trace.x ? trace.x.length : 0), 0)"
)

# Where a mark can be pressed: the centre of one that lies free of others within the picture.
_FREE_MARK: Final = """(nth) => {
  const plot = document.getElementById('graph-pareto');
  const { xaxis, yaxis } = plot._fullLayout;
  const box = plot.querySelector('.nsewdrag').getBoundingClientRect();
  const marks = [];
  for (const trace of plot._fullData) {
    if (!trace.customdata || trace.yaxis !== 'y') continue;
    for (let index = 0; index < trace.x.length; index++) {
      const [x, y] = [xaxis.d2p(trace.x[index]), yaxis.d2p(trace.y[index])];
      if (x > 20 && x < xaxis._length - 20 && y > 20 && y < yaxis._length - 20) marks.push([x, y]);
    }
  }
  marks.sort((one, other) => one[1] - other[1]);
  const [x, y] = marks[nth * 5];
  return [box.x + x, box.y + y];
}"""


# Opens a link, and promises the milliseconds until all its pictures are drawn.
_OPEN: Final = """(search) => new Promise(function (resolve) {
  const began = performance.now();
  history.pushState(null, '', search);
  window.hybridnas.look();
  (function wait() {
    const graphs = [...document.querySelectorAll('.graph')];
    if (window.hybridnas.shownFor() === search && graphs.every((graph) => graph.calcdata)) {
      requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
    } else setTimeout(wait, 5);
  })();
})"""


def check_whole(page: Any, where: str, *, num_trials: int) -> None:
    """Check that a page draws every candidate that has a latency.

    Raises:
        IncorrectError: it does not.
    """
    marks = page.evaluate(_NUM_MARKS)
    if marks < num_trials - num_trials // 50:
        raise IncorrectError(f"The picture of the {where} has {marks} marks of {num_trials} candidates.")
    # Plotly says this in place of a picture.
    if page.get_by_text("WebGL is not supported").count():
        raise IncorrectError(f"The {where} could not draw with WebGL.")


def open_page(browser: Any, address: str) -> Any:
    """Return a page of a reader who was never here before, its first picture drawn."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(WAIT_MS)
    page.on("pageerror", raise_incorrect)
    page.add_init_script(_WATCH)
    page.goto(address)
    page.evaluate("window.firstPicture")
    return page


def raise_incorrect(error: object) -> None:
    """Refuse what a page says went wrong in it."""
    raise IncorrectError(f"The page fails: {error}")


def first_picture_ms(browser: Any, address: str) -> float:
    """Open a link that nobody has opened before."""
    page = open_page(browser, address)
    elapsed = float(page.evaluate("window.firstPicture"))
    page.context.close()
    return elapsed


def _measured(page: Any, kind: str, graph: str, act: Callable[[], object]) -> float:
    """Return the milliseconds from an event of the page to the next picture of a graph."""
    page.evaluate("([kind, graph]) => { window.measure(kind, graph); }", [kind, graph])
    act()
    return float(page.evaluate("window.measured"))


def filter_ms(page: Any, *, num_failed: int) -> list[float]:
    """Hide the failed candidates and show them again; other candidates stay as they are."""
    button = page.locator("[data-slot=frontier-filters] a").filter(has_text=re.compile("failed"))
    found = []
    for repetition in range(REPETITIONS):
        before = page.evaluate(_NUM_MARKS)
        found.append(_measured(page, "pointerdown", "pareto", button.click))
        change = page.evaluate(_NUM_MARKS) - before
        if change != (1 if repetition % 2 else -1) * num_failed:
            raise IncorrectError(f"Hiding or showing {num_failed} failed candidates changed {change} marks.")
    if REPETITIONS % 2:
        button.click()
        page.wait_for_function(f"{_NUM_MARKS} >= {before}")
    return found


def selection_ms(page: Any) -> list[float]:
    """Press marks of the picture."""
    found = []
    for repetition in range(REPETITIONS):
        x, y = page.evaluate(_FREE_MARK, repetition + 1)
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y)
        page.wait_for_timeout(300)  # the reader rests on the mark
        before = page.url
        found.append(_measured(page, "pointerdown", "pareto", lambda: page.mouse.click(x, y)))  # noqa: B023  # called now
        if page.url == before or "trial=" not in page.url:
            raise IncorrectError(f"A pressed mark was not chosen: the link is {page.url}.")
    return found


def live_ms(page: Any, append: Callable[[], None]) -> list[float]:
    """Let results arrive while the reader is zoomed in on a chosen candidate.

    Args:
        page: shows the frontier.
        append: adds a result to the study.
    """
    page.evaluate(f"Plotly.relayout('{_PICTURE[1:]}', {{'xaxis.range[0]': 8, 'xaxis.range[1]': 20}})")
    kept = "[document.querySelector('#graph-pareto').layout.xaxis.range.map(String).join(), location.search].join(' ')"
    before = page.evaluate(kept)
    found = []
    for _ in range(REPETITIONS):
        marks = page.evaluate(_NUM_MARKS)
        found.append(_measured(page, "question", "pareto", append))
        if page.evaluate(_NUM_MARKS) != marks + 1:
            raise IncorrectError(f"A new result changed the number of marks by {page.evaluate(_NUM_MARKS) - marks}.")
        if page.evaluate(kept) != before:
            raise IncorrectError(f"A new result changed zoom and selection {before} to {page.evaluate(kept)}.")
    return found


def brush_ms(page: Any) -> list[float]:
    """Drag along an axis of the parallel coordinates."""
    page.goto(page.url.partition("?")[0] + "?page=why")
    page.wait_for_function("document.getElementById('graph-parallel')?.calcdata?.length > 0")
    page.wait_for_timeout(1000)
    page.locator("#graph-parallel").scroll_into_view_if_needed()
    found = []
    for repetition in range(REPETITIONS):
        place = page.evaluate(
            """() => {
              const { layout, _fullLayout } = document.getElementById('graph-parallel');
              const box = document.getElementById('graph-parallel').querySelector('.nsewdrag').getBoundingClientRect();
              const height = box.height, top = box.y;
              return [box.x + _fullLayout.xaxis.d2p(0), top + 0.3 * height, top + 0.6 * height];
            }"""
        )
        x, above, below = place
        page.mouse.move(x, above)
        page.mouse.down()
        page.mouse.move(x, below + 4 * repetition, steps=3)
        found.append(_measured(page, "pointerup", "picked", page.mouse.up))
    return found


def table_filter_ms(page: Any) -> list[float]:
    """Type into the filter of the table; it is drawn when its rows have changed."""
    page.goto(page.url.partition("?")[0] + "?page=table")
    field = page.locator(".data-table input[type=search]").first
    field.wait_for()
    page.wait_for_timeout(1000)
    found = []
    for repetition in range(REPETITIONS):
        page.evaluate(
            """() => {
              const rows = document.querySelector('.data-table tbody');
              window.measured = new Promise(function (resolve) {
                let began = null;
                addEventListener('input', (event) => { began = event.timeStamp; }, { capture: true, once: true });
                new MutationObserver(function (_, observer) {
                  observer.disconnect();
                  requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - began)));
                }).observe(rows, { childList: true, subtree: true, characterData: true });
              });
            }"""
        )
        field.fill(str(100 + repetition))
        found.append(float(page.evaluate("window.measured")))
    return found


def view_ms(browser: Any, address: str) -> dict[str, list[float]]:
    """Come to every other view from the frontier, each time for another candidate."""
    page = open_page(browser, address)
    found: dict[str, list[float]] = {f"open {name}": [] for name in VIEWS}
    for repetition in range(REPETITIONS):
        for name in VIEWS:
            page.evaluate(_OPEN, f"?trial={100 + repetition}")
            found[f"open {name}"].append(float(page.evaluate(_OPEN, f"?page={name}&trial={100 + repetition}")))
    return found
