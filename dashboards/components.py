"""Elements as Dash components, for the live page."""

from typing import Any, Final

from dash import dcc, html

from dashboards.elements import Element, Graph, Node
from dashboards.figures.theme import GRAPH_CONFIG

RENAMED: Final = {"class": "className", "colspan": "colSpan", "tabindex": "tabIndex"}
"""Attributes that React calls otherwise."""


def to_dash(node: Node) -> Any:
    """Return the component of a node."""
    match node:
        case str():
            return node
        case Graph():
            # The figure comes on its own way, in the colours of the page: see `assets/live.js`.
            settings: dict[str, Any] = {"id": {"graph": node.name}, "config": GRAPH_CONFIG, "style": {"height": "100%"}}
            graph = dcc.Graph(**settings)
            frame: dict[str, Any] = {"className": "graph", "role": "img", "aria-label": node.label}
            return html.Div(graph, id=f"graph-{node.name}", style=graph_style(node), **frame)
        case Element():
            properties: dict[str, Any] = {
                RENAMED.get(name, name): _style(value) if name == "style" else value
                for name, value in node.attributes.items()
            }
            if "data-slot" in node.attributes:
                properties["id"] = slot_id(node.attributes["data-slot"])
            if node.tag == "input":
                # Dash has its own; what it does is up to the element around it (`data-view`).
                return dcc.Input(**properties)
            return getattr(html, node.tag.capitalize())(children_of(node), **properties)


def children_of(node: Element) -> list[Any]:
    """Return the components of an element's children."""
    return [to_dash(child) for child in node.children]


def graph_style(graph: Graph) -> dict[str, str]:
    """Return the style that gives a graph the height of its figure."""
    return {"height": f"{int(graph.figure.layout.height)}px"}


def slot_id(name: str) -> str:
    """Return the component id of a slot."""
    return f"slot-{name}"


def _style(text: str) -> dict[str, str]:
    """Return `a-b:c;…` as React wants it: `{"aB": "c"}`; custom properties keep their name."""
    style: dict[str, str] = {}
    for rule in filter(None, text.split(";")):
        name, _, value = rule.partition(":")
        if not name.startswith("--"):
            first, *rest = name.split("-")
            name = first + "".join(word.capitalize() for word in rest)
        style[name] = value
    return style
