"""A page as one HTML file that holds everything it needs and works offline.

A content security policy inside the file forbids it to load anything, so that this stays true of whatever a candidate's
text or a later Plotly might contain.
"""

import json
from importlib import resources
from pathlib import Path

from plotly.offline import get_plotlyjs

from dashboards.elements import Element, graphs_in
from dashboards.figures.theme import GRAPH_CONFIG
from dashboards.markup import to_html
from dashboards.palette import css_variables

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
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
            "</head>",
            "<body>",
            to_html(tree),
            "<noscript><p>The figures need JavaScript; the strips and the table do not.</p></noscript>",
            f'<script type="application/json" id="graphs">{_inert_json(graphs)}</script>',
            f"<script>{get_plotlyjs()}</script>",
            f"<script>{asset('theme.js')}</script>",
            f"<script>{asset('report.js')}</script>",
            f"<script>{asset('table.js')}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def asset(name: str) -> str:
    """Return a file of `assets/`."""
    return resources.files("dashboards").joinpath("assets", name).read_text(encoding="utf-8")


def _inert_json(value: object) -> str:
    """Return JSON in which nothing can end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
