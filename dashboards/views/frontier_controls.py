"""What a reader can set about the picture of the frontier: its axes, their scales, and which candidates it shows."""

from dashboards.analysis.axes import Axis, axis_choices
from dashboards.analysis.filters import ORIGIN_WORDS, REFERENCES, STATUS_WORDS, num_by_word, toggled
from dashboards.analysis.plane import Plane
from dashboards.elements import Element, Node, element, slot
from dashboards.view import View


def frontier_controls(plane: Plane) -> Element:
    """Return the controls above the picture; a report, which nobody answers, leaves them out."""
    return element(
        "div",
        slot("frontier-axes", "div", *_axes(plane), class_="controls"),
        slot("frontier-filters", "div", *_filters(plane), class_="controls"),
        class_="frontier-controls",
        data_live="",
    )


def _axes(plane: Plane) -> list[Node]:
    choices = axis_choices(plane.results)
    parts: list[Node] = []
    for name, title, axis in (("y", "Upwards", plane.y), ("x", "To the right", plane.x)):
        options = [_option(one, is_chosen=one.column == axis.column) for one in choices]
        if all(one.column != axis.column for one in choices):
            options.append(_option(axis, is_chosen=True))
        parts.append(
            element(
                "span",
                element("label", f"{title} ", element("select", *options), data_view=name, class_="field"),
                _scales(name, axis, plane.view),
                class_="axis-control",
            )
        )
    find = element("input", type="text", value=plane.view.find, placeholder="pattern or #17", size="14")
    parts.append(element("label", "Find ", find, data_view="find", class_="field"))
    return parts


def _option(axis: Axis, *, is_chosen: bool) -> Element:
    marks = {"selected": "selected"} if is_chosen else {}
    return element("option", axis.title, value=axis.column, **marks)


def _scales(name: str, axis: Axis, view: View) -> Element:
    """Return the two scales of an axis; marked is what is drawn, by choice or automatically."""
    parts = []
    for scale, is_log in (("linear", False), ("log", True)):
        mark = {"aria_current": "true"} if axis.is_log is is_log else {}
        parts.append(element("a", scale, href=view.link(**{f"{name}_scale": scale}), class_="toggle", **mark))
    return element("span", *parts, class_="toggles", role="group", aria_label=f"Scale of {axis.label}")


def _filters(plane: Plane) -> list[Node]:
    view = plane.view
    counts = num_by_word(plane.everyone)
    groups = (
        ("status", {word: text for word, text in STATUS_WORDS.items() if word != "finished"}),
        ("origin", ORIGIN_WORDS),
    )
    parts: list[Node] = []
    for title, words in groups:
        # What is hidden keeps its button even where no candidate of it is left to count.
        present = [word for word in words if word in counts or word in view.hide]
        if len(present) > 1 or any(word in view.hide for word in present):
            toggles = [_filter(view, word, words[word], counts.get(word, 0)) for word in present]
            parts.append(
                element("span", *toggles, class_="toggles filters", role="group", aria_label=f"Shown, by {title}")
            )
    if plane.results.references:
        toggle = _filter(view, REFERENCES, "published", len(plane.results.references))
        parts.append(element("span", toggle, class_="toggles filters", role="group", aria_label="Shown besides"))
    if view.hide or view.find:
        parts.append(element("a", "Show all", href=view.link(hide=(), find=""), class_="button quiet"))
    return parts


def _filter(view: View, word: str, text: str, number: int) -> Element:
    is_shown = word not in view.hide
    return element(
        "a",
        f"{text} ",
        element("small", f"{number:,}"),
        href=view.link(hide=toggled(view, word)),
        role="button",
        aria_pressed="true" if is_shown else "false",
        title=f"{'Hide' if is_shown else 'Show'} what is {text}" if word != REFERENCES else "Published architectures",
        class_="toggle",
    )
