"""A page as one HTML file that holds everything it needs and works offline.

A content security policy inside the file forbids it to load anything, so that this stays true of whatever a candidate's
text or a later Plotly might contain.
"""

import base64
import functools
import gzip
from importlib import resources
from pathlib import Path
from typing import Final

from plotly.offline import get_plotlyjs

from dashboards.elements import Element, graphs_in, inert_json
from dashboards.figures.theme import GRAPH_CONFIG
from dashboards.markup import to_html
from dashboards.palette import css_variables

SCRIPTS: Final = ("report.js", "brush.js", "copy.js", "sort.js", "table.js", "twin.js", "keys.js", "unpack.js")
"""Of `assets/`, in the order they run in; `theme.js` runs in the head, and Plotly when `unpack.js` has unpacked it."""

# Plotly compiles what draws large scatters (WebGL) in the browser, which is what 'unsafe-eval' lets it do.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def write_page(text: str, path: Path) -> None:
    """Write a page to `path`; a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def standalone_html(tree: Element, *, title: str) -> str:
    """Return the page as text."""
    graphs = [
        {"id": f"graph-{graph.name}", "figure": graph.figure.to_json(), "config": GRAPH_CONFIG}
        for graph in graphs_in([tree])
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{to_html(f'{title} · HybridNAS')}</title>",
            f"<style>{css_variables()}\n{asset('page.css')}</style>",
            f"<script>{asset('theme.js')}</script>",
            "</head>",
            "<body>",
            to_html(tree),
            "<noscript><style>.twin,.theme-button{display:none}</style>"
            "<p>The figures need JavaScript; the strips and the table do not.</p></noscript>",
            f'<script type="application/json" id="graphs">{inert_json(graphs)}</script>',
            f'<script type="application/gzip" id="plotly">{_packed_plotly()}</script>',
            *(f"<script>{asset(name)}</script>" for name in SCRIPTS),
            "</body>",
            "</html>",
            "",
        ]
    )


@functools.cache
def _packed_plotly() -> str:
    """Return the drawing library as base64 of gzip, the same each time: it is most of the page."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode("ascii")


def asset(name: str) -> str:
    """Return a file of `assets/`."""
    return resources.files("dashboards").joinpath("assets", name).read_text(encoding="utf-8")
