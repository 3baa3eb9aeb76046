"""A section of a view: a heading, a sentence that says how to read it, and what it shows."""

from dashboards.elements import Element, Node, element


def section(name: str, title: str, explanation: str, *content: Node, is_half: bool = False) -> Element:
    """Return a section; a half one shares its row with another on wide screens."""
    return element(
        "section",
        element("h3", title),
        element("p", explanation, class_="explanation"),
        *content,
        id=name,
        class_="half" if is_half else "whole",
    )
