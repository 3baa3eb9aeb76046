"""The live dashboard: one view of a study at a time, which follows the study while it is written.

The link of the page is all that a page remembers: from it and the studies the page is made anew, and what of it differs
from what the browser has is sent. Where to listen is the caller's decision. Nothing is loaded from elsewhere, and
nothing can be sent anywhere.
"""

import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update, set_props
from dash.exceptions import PreventUpdate

from dashboards.components import children_of, slot_id, to_dash
from dashboards.elements import graphs_in, slots_in
from dashboards.markup import to_html
from dashboards.page import live_page
from dashboards.palette import css_variables
from dashboards.studies import Reading, Studies, Study
from dashboards.view import view_of

_INDEX: Final = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
{%favicon%}
<style>VARIABLES</style>
{%css%}
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>
"""


def create_app(studies: Sequence[Study], *, title: str, interval_ms: int = 2000) -> Dash:
    """Return the Dash application.

    Args:
        studies: the first is in front until a link says otherwise.
        title: of the browser's window.
        interval_ms: time between two looks at the studies' revisions.
    """
    followed = Studies(studies)
    app = Dash(
        __name__,
        title=escape(title),
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        assets_ignore=r"report\.js",
        index_string=_INDEX.replace("VARIABLES", css_variables()),
        serve_locally=True,
        enable_mcp=False,
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = html.Div(
        [
            dcc.Location(id="link", refresh=False),
            dcc.Interval(id="clock", interval=interval_ms),
            dcc.Store(id="seen"),
            dcc.Store(id="figures"),
            html.Div(html.P("Reading …", className="reading"), id="content"),
        ]
    )

    @app.callback(
        output={
            "content": Output("content", "children"),
            "figures": Output("figures", "data"),
            "seen": Output("seen", "data"),
        },
        inputs={"query": Input("link", "search"), "ticks": Input("clock", "n_intervals")},
        state={"seen": State("seen", "data")},
        # Dash drops an answer that a later tick has overtaken: without this, slow results would never be shown.
        running=[(Output("clock", "disabled"), True, False)],
    )
    def show(query: str | None, ticks: int | None, seen: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ARG001
        """Make the page anew where the link or a study has changed; the tick is only the occasion."""
        view, complaints = view_of(query or "")
        readings = followed.shown(view)
        now = {"query": query, "studies": [_mark(reading) for reading in readings]}
        if seen and all(seen[name] == value for name, value in now.items()):
            raise PreventUpdate
        tree = live_page(readings, view, names=followed.names, complaints=complaints)
        slots, graphs = slots_in([tree]), graphs_in([tree])
        figures = {graph.name: graph.figure.to_json() for graph in graphs}
        hashes = {name: _hash(to_html(node)) for name, node in slots.items()}
        hashes |= {f"graph {name}": _hash(text) for name, text in figures.items()}
        # The frame is what stands around slots and graphs: while it is the same, these change in place.
        frame = [view.page, *slots, *figures]
        is_new = not seen or seen["frame"] != frame
        old = {} if is_new or not seen else seen["hashes"]
        if not is_new:
            for name, node in slots.items():
                if old[name] != hashes[name]:
                    set_props(slot_id(name), {"children": children_of(node)})
        changed = {
            graph.name: {"figure": figures[graph.name], "height": int(graph.figure.layout.height)}
            for graph in graphs
            if old.get(f"graph {graph.name}") != hashes[f"graph {graph.name}"]
        }
        return {
            "content": to_dash(tree) if is_new else no_update,
            "figures": changed or no_update,
            "seen": now | {"frame": frame, "hashes": hashes},
        }

    app.clientside_callback(  # type: ignore[no-untyped-call]  # Dash leaves it untyped
        ClientsideFunction(namespace="hybridnas", function_name="draw"),
        Input("figures", "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]  # Dash leaves it untyped
        ClientsideFunction(namespace="hybridnas", function_name="pick"),
        Input({"graph": ALL}, "clickData"),
        prevent_initial_call=True,
    )
    return app


def _mark(reading: Reading) -> list[str]:
    return [reading.name, reading.revision, reading.error]


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
