"""Elements as HTML text. Everything that comes from outside is escaped here, once."""

import html
from typing import Final

from dashboards.elements import DataTable, Element, Graph, Node, data_table_element

VOID_TAGS: Final = frozenset({"br", "hr", "input", "meta"})


def to_html(node: Node) -> str:
    """Return the HTML of a node; a graph becomes the empty block that `assets/report.js` fills.

    The table below a graph is made by `assets/twin.js` when it is opened.
    """
    match node:
        case str():
            return html.escape(node, quote=False)
        case Graph():
            height = int(node.figure.layout.height)
            label = html.escape(node.label)
            name = html.escape(node.name)
            return (
                f'<div class="picture"><div class="graph" id="graph-{name}" role="group" aria-label="{label}" '
                f'style="height:{height}px"></div>'
                f'<details class="twin" data-twin="{name}"><summary>Data as a table</summary></details></div>'
            )
        case DataTable():
            return to_html(data_table_element(node))
        case Element():
            attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in node.attributes.items())
            if node.tag in VOID_TAGS:
                return f"<{node.tag}{attributes}>"
            return f"<{node.tag}{attributes}>{''.join(map(to_html, node.children))}</{node.tag}>"
