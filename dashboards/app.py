"""The live dashboard: the page of the report, redrawn when the results change.

Where to listen is the caller's decision. Nothing is loaded from elsewhere, nothing can be sent anywhere.
"""

import logging
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, Final

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate

from dashboards.components import children_of, graph_style, slot_id, to_dash
from dashboards.elements import Element, element, graphs_in, slots_in
from dashboards.frame import Results, empty_frame
from dashboards.page import page
from dashboards.palette import css_variables

logger = logging.getLogger(__name__)

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


def create_app(
    load: Callable[[], Results], *, revision: Callable[[], object], title: str, interval_ms: int = 2000
) -> Dash:
    """Return the Dash application.

    Args:
        load: reads the results; called when a page opens and when the revision has changed.
        revision: something cheap whose `repr` changes when the results do; called every interval by every open page.
        title: of the browser's window.
        interval_ms: time between two looks at the revision.
    """
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

    # The tree has the same slots and graphs for all results: those of an empty study name them.
    blank = Results(title=title, trials=empty_frame(), planned_evaluations=0, state="running")
    slot_names = list(slots_in([page(blank)]))
    graph_names = [graph.name for graph in graphs_in([page(blank)])]

    def layout() -> html.Div:
        try:
            seen, tree = _read(load, revision)
            alarm, look = [], "read"
        except Exception as error:
            logger.exception("The dashboard could not read the results.")
            seen, tree, alarm, look = "", page(blank), [_alarm(error)], "unread"
        return html.Div(
            [
                dcc.Interval(id="clock", interval=interval_ms),
                dcc.Store(id="revision", data=seen),
                dcc.Store(id="figures"),
                html.Div(alarm, id="alarm"),
                html.Div(to_dash(tree), id="content", className=look),
            ]
        )

    app.layout = layout

    @app.callback(
        output={
            "revision": Output("revision", "data"),
            "alarm": Output("alarm", "children"),
            "look": Output("content", "className"),
            "slots": {name: Output(slot_id(name), "children") for name in slot_names},
            "figures": Output("figures", "data"),
            "styles": {name: Output(name, "style") for name in graph_names},
        },
        inputs={"ticks": Input("clock", "n_intervals")},
        state={"seen": State("revision", "data")},
        # Dash drops an answer that a later tick has overtaken: without this, slow results would never be shown.
        running=[(Output("clock", "disabled"), True, False)],
        prevent_initial_call=True,
    )
    def redraw(ticks: int | None, seen: str) -> dict[str, Any]:  # noqa: ARG001  # the tick is only the occasion
        """Change slots and graphs in place if the results have changed; on an error, say so and keep the rest."""
        untouched = {
            "revision": no_update,
            "alarm": no_update,
            "look": no_update,
            "slots": dict.fromkeys(slot_names, no_update),
            "figures": no_update,
            "styles": dict.fromkeys(graph_names, no_update),
        }
        try:
            is_same = repr(revision()) == seen
            now, tree = (seen, None) if is_same else _read(load, revision)
        except Exception as error:
            if seen:  # Without a revision the page already shows an error: one record of it is enough.
                logger.exception("The dashboard could not read the results.")
            return untouched | {"revision": "", "alarm": [_alarm(error)]}
        if tree is None:
            raise PreventUpdate
        slots, graphs = slots_in([tree]), {graph.name: graph for graph in graphs_in([tree])}
        return {
            "revision": now,
            "alarm": [],
            "look": "read",
            "slots": {name: children_of(slots[name]) for name in slot_names},
            "figures": {name: graphs[name].figure.to_plotly_json() for name in graph_names},
            "styles": {name: graph_style(graphs[name]) for name in graph_names},
        }

    app.clientside_callback(  # type: ignore[no-untyped-call]  # Dash leaves it untyped
        ClientsideFunction(namespace="hybridnas", function_name="redraw"),
        [Output(name, "figure") for name in graph_names],
        Input("figures", "data"),
        [State(name, "figure") for name in graph_names],
        prevent_initial_call=True,
    )
    return app


def _read(load: Callable[[], Results], revision: Callable[[], object]) -> tuple[str, Element]:
    # The revision first: results that change between the two calls are then drawn again, not missed.
    seen = repr(revision())
    return seen, page(load())


def _alarm(error: Exception) -> Any:
    tree = element(
        "div",
        element("strong", "The results cannot be read."),
        element("p", f"{type(error).__name__}: {error}"),
        element("p", "This page tries again by itself. Anything below was read before."),
        class_="alarm",
        role="alert",
    )
    return to_dash(tree)
