"""Elements as HTML text. Everything that comes from outside is escaped here, once."""

import html
from typing import Final

from dashboards.elements import Element, Graph, Node

VOID_TAGS: Final = frozenset({"br", "hr", "input", "meta"})


def to_html(node: Node) -> str:
    """Return the HTML of a node; a graph becomes the empty block that `assets/report.js` fills."""
    match node:
        case str():
            return html.escape(node, quote=False)
        case Graph():
            height = int(node.figure.layout.height)
            label = html.escape(node.label)
            return (
                f'<div class="graph" id="graph-{html.escape(node.name)}" role="img" aria-label="{label}" '
                f'style="height:{height}px"></div>'
            )
        case Element():
            attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in node.attributes.items())
            if node.tag in VOID_TAGS:
                return f"<{node.tag}{attributes}>"
            return f"<{node.tag}{attributes}>{''.join(map(to_html, node.children))}</{node.tag}>"
