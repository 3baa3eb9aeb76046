"""A page as a small tree of elements, so that the report and the live dashboard are one page written once.

`markup.py` turns the tree into HTML text. Text is plain here; escaping is done there.
What changes while a study runs stands in slots and graphs; around them the tree is the same for every state of a study,
so that a live page can change them in place and keep zoom, scrolling and sorting.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import plotly.graph_objects as go


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """A figure's place in the page."""

    name: str
    """Identity of the graph, constant between redraws."""

    figure: go.Figure
    label: str
    """What the figure shows, for those who cannot see it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataTable:
    """A table that the browser draws from data, with filters and pages: see `assets/table.js`."""

    name: str
    """Identity of the table, constant between redraws."""

    label: str
    """What the table holds, for those who cannot see it."""

    data: str
    """JSON in which nothing can end the script element it stands in."""

    still: Callable[[], "Element"]
    """Makes the table that is read where no script runs; only a report asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Element:
    """One HTML element."""

    tag: str
    attributes: Mapping[str, str]
    children: tuple["Node", ...]


Node: TypeAlias = Element | Graph | DataTable | str


def element(tag: str, *children: Node, **attributes: str) -> Element:
    """Return an element; `class_` stands for `class`, and underscores in names for hyphens."""
    names = {name: name.rstrip("_").replace("_", "-") for name in attributes}
    return Element(tag=tag, attributes={names[name]: value for name, value in attributes.items()}, children=children)


def slot(name: str, tag: str, *children: Node, **attributes: str) -> Element:
    """Return an element whose children change while a study runs."""
    return element(tag, *children, **attributes, data_slot=name)


def data_table_element(table: DataTable, *more: Node) -> Element:
    """Return the element that a data table is in a page, with its data and whatever stands there before scripts run."""
    script = element("script", table.data, type="application/json")
    return element("div", script, *more, class_="data-table", data_table=table.name, data_label=table.label)


def inert_json(value: object) -> str:
    """Return JSON in which nothing can end the script element it stands in, nor needs escaping."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def slots_in(nodes: Iterable[Node]) -> dict[str, Element]:
    """Return every slot below these nodes by name. Slots do not lie within slots."""
    found: dict[str, Element] = {}
    for node in nodes:
        if isinstance(node, Element):
            if "data-slot" in node.attributes:
                found[node.attributes["data-slot"]] = node
            else:
                found |= slots_in(node.children)
    return found


def graphs_in(nodes: Iterable[Node]) -> list[Graph]:
    """Return every graph below these nodes, in order."""
    found: list[Graph] = []
    for node in nodes:
        if isinstance(node, Graph):
            found.append(node)
        elif isinstance(node, Element):
            found += graphs_in(node.children)
    return found
