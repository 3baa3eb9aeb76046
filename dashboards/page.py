"""The page of a study: what stands on it whichever view is open, and where the views are.

The report shows all views below each other, the live dashboard one at a time; both are this. What a view shows is its
own affair, in `views/`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dashboards.elements import DataTable, Element, Node, data_table_element, element, slot
from dashboards.frame import Results, empty_frame
from dashboards.parts.headline import headline
from dashboards.serving.studies import Reading
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
    parts = [_report_part(name, title, show(results, view, {})) for name, (title, show) in VIEWS.items()]
    nav = element("nav", *links, element("div", _theme_button(), class_="beside"), aria_label="Views")
    tree = element("div", _skip_link(), headline(results), _caveats(results.caveats), nav, _main(*parts), class_="page")
    return _at_rest(tree)


def _report_part(name: str, title: str, sections: Sequence[Element]) -> Element:
    """Return a view as a part of a report, with links to its sections where it has several."""
    links = [element("a", words, href=f"#{place}") for place, words in _anchors(sections)]
    return element(
        "div",
        element(
            "div",
            element("h2", title),
            *([element("div", *links, class_="anchors")] if len(links) > 1 else []),
            class_="view-title",
        ),
        element("div", *sections, class_="sections"),
        id=f"view-{name}",
    )


def _anchors(sections: Sequence[Element]) -> list[tuple[str, str]]:
    """Return the place and the title of each section."""
    found = []
    for section in sections:
        headings = [node for node in section.children if isinstance(node, Element) and node.tag in ("h2", "h3")]
        if "id" in section.attributes and headings and isinstance(headings[0].children[0], str):
            found.append((section.attributes["id"], headings[0].children[0]))
    return found


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
    title, show = VIEWS[view.page]
    return element(
        "div",
        _skip_link(),
        slot("alarms", "div", *alarms),
        headline(results, view),
        _caveats([*complaints, *results.caveats]),
        slot("views", "nav", *_view_links(view), _beside(view, names), aria_label="Views"),
        _main(
            element("h2", title, class_="unseen"),
            element("div", *show(results, view, overlaid), class_="sections"),
        ),
        class_="page",
    )


def broken_page(view: View, error: Exception, *, names: Sequence[str]) -> Element:
    """Return the page of a view that could not be drawn: what went wrong, and the way to the others."""
    alarm = element(
        "div",
        element("strong", f"The view {VIEWS[view.page][0]} cannot be drawn."),
        element("p", f"{type(error).__name__}: {error}"),
        element("p", "The other views are not touched by this. The server's log has the details."),
        class_="alarm",
        role="alert",
    )
    nav = element("nav", *_view_links(view), _beside(view, names), aria_label="Views")
    return element("div", _skip_link(), nav, _main(alarm), class_="page")


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
    study = element("label", "Study ", element("select", *options), data_view="study", class_="choice")
    return [study, _overlay_choice(view, [name for name in names if name != front])]


def _overlay_choice(view: View, others: Sequence[str]) -> Element:
    """Return the choice that draws another study over the one in front, or takes it away again."""
    drawn = tuple(name for name in view.overlay if name in others)
    first = "nothing" if not drawn else drawn[0] if len(drawn) == 1 else f"{len(drawn)} studies"
    options = [element("option", first, value=",".join(drawn), selected="selected")]
    for name in others:
        rest = tuple(other for other in drawn if other != name)
        words = f"− {name}" if name in drawn else f"+ {name}"
        options.append(element("option", words, value=",".join(rest if name in drawn else (*drawn, name))))
    return element("label", "over it ", element("select", *options), data_view="overlay", class_="choice")


def _beside(view: View, names: Sequence[str]) -> Element:
    """Return what stands at the end of the row of views."""
    return element("div", *_study_choice(view, names), _theme_button(), class_="beside")


def _skip_link() -> Element:
    return element("a", "To the content", href="#main", class_="skip")


def _main(*content: Node) -> Element:
    return element("main", *content, id="main", tabindex="-1")


def _theme_button() -> Element:
    words = (
        element("span", "Light", class_="in-light"),
        element("span", "Dark", class_="in-dark"),
        element("span", " colours; press to change", class_="unseen"),
    )
    return element("button", *words, type="button", class_="theme-button", data_theme_button="")


def _caveats(sentences: Sequence[str]) -> Element:
    items = [element("ul", *(element("li", text) for text in sentences), class_="caveats")]
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


def _at_rest(tree: Element) -> Element:
    """Return the tree as it stands in a file.

    Elements of the attribute `data-live` need a server to answer them, and are left out; of links to other views the
    words stay. Tables can be read before any script has run.
    """
    children: list[Node] = []
    for child in tree.children:
        match child:
            case Element():
                if "data-live" not in child.attributes:
                    children.append(_at_rest(child))
            case DataTable():
                children.append(data_table_element(child, child.still()))
            case _:
                children.append(child)
    if tree.tag == "a" and tree.attributes.get("href", "").startswith("?"):
        kept = {name: value for name, value in tree.attributes.items() if name != "href"}
        return Element(tag="span", attributes=kept, children=tuple(children))
    return Element(tag=tree.tag, attributes=tree.attributes, children=tuple(children))
