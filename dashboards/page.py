"""The page of a study: what stands on it whichever view is open, and where the views are.

The report shows all views below each other, the live dashboard one at a time; both are this. What a view shows is its
own affair, in `views/`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dashboards.elements import Element, Node, element, slot
from dashboards.frame import Results, empty_frame
from dashboards.headline import headline
from dashboards.studies import Reading
from dashboards.view import PageName, View
from dashboards.views.candidate import candidate_view
from dashboards.views.compare import compare_view
from dashboards.views.frontier import frontier_view
from dashboards.views.progress import progress_view
from dashboards.views.table import table_view
from dashboards.views.why import why_view

ViewFunction = Callable[[Results, View, Mapping[str, Results]], list[Element]]
"""Returns the sections of a view: of the study in front, what the reader chose, and of studies drawn over it."""

VIEWS: Final[Mapping[PageName, tuple[str, ViewFunction]]] = {
    "frontier": ("Frontier", frontier_view),
    "candidate": ("Candidate", candidate_view),
    "progress": ("Progress", progress_view),
    "why": ("Why", why_view),
    "compare": ("Compare", compare_view),
    "table": ("Table", table_view),
}


def report_page(results: Results) -> Element:
    """Return the whole page below `<body>` of a report: every view, without what needs a server behind it."""
    view = View()
    links = [element("a", title, href=f"#view-{name}") for name, (title, _) in VIEWS.items()]
    parts = [
        element(
            "div",
            element("h2", title, class_="view-title"),
            element("div", *show(results, view, {}), class_="sections"),
            id=f"view-{name}",
        )
        for name, (title, show) in VIEWS.items()
    ]
    nav = element("nav", *links, _theme_button(), aria_label="Views")
    tree = element("div", headline(results), _caveats(results.caveats), nav, element("main", *parts), class_="page")
    return _without_controls(tree)


def live_page(readings: Sequence[Reading], view: View, *, names: Sequence[str], complaints: Sequence[str]) -> Element:
    """Return the page of one view.

    Args:
        readings: the study in front, then those drawn over it.
        view: what to show.
        names: of all studies that can be shown.
        complaints: what of the link could not be followed.
    """
    front, *others = readings
    alarms = [_alarm(reading) for reading in readings if reading.error]
    results = front.results or Results(title=front.name, trials=empty_frame(), planned_evaluations=0, state="running")
    overlaid = {reading.name: reading.results for reading in others if reading.results is not None}
    _, show = VIEWS[view.page]
    return element(
        "div",
        slot("alarms", "div", *alarms),
        headline(results),
        _caveats([*complaints, *results.caveats]),
        slot("views", "nav", *_view_links(view), *_study_choice(view, names), _theme_button(), aria_label="Views"),
        element("main", element("div", *show(results, view, overlaid), class_="sections")),
        class_="page",
    )


def _view_links(view: View) -> list[Node]:
    marks = {True: {"aria_current": "page"}, False: {}}
    return [
        element("a", title, href=view.link(page=name), **marks[name == view.page]) for name, (title, _) in VIEWS.items()
    ]


def _study_choice(view: View, names: Sequence[str]) -> list[Node]:
    if len(names) == 1:
        return []
    front = view.study if view.study in names else names[0]
    options = [
        element("option", name, value=name, **({"selected": "selected"} if name == front else {})) for name in names
    ]
    return [element("label", "Study ", element("select", *options), data_view="study", class_="choice")]


def _theme_button() -> Element:
    return element("button", "Light or dark", type="button", class_="theme-button", data_theme_button="")


def _caveats(sentences: Sequence[str]) -> Element:
    items = [element("ul", *(element("li", text) for text in sentences), class_="caveats", role="note")]
    return slot("caveats", "div", *(items if sentences else []))


def _alarm(reading: Reading) -> Element:
    before = "What stands below was read before." if reading.results is not None else ""
    return element(
        "div",
        element("strong", f"{reading.name} cannot be read."),
        element("p", reading.error),
        element("p", f"This page tries again by itself. {before}".strip()),
        class_="alarm",
        role="alert",
    )


def _without_controls(tree: Element) -> Element:
    """Return the tree without elements of the attribute `data-live`, which need a server to answer them."""
    children = tuple(
        _without_controls(child) if isinstance(child, Element) else child
        for child in tree.children
        if not (isinstance(child, Element) and "data-live" in child.attributes)
    )
    return Element(tag=tree.tag, attributes=tree.attributes, children=children)
