"""The live dashboard: one view of a study at a time, which follows the study while it is written.

The link of the page is all that a page remembers: from it and the studies the page is made anew, and what of it differs
from what the browser shows is sent. The browser asks (`assets/live.js`), one question at a time, and asks again. Dash
serves the page's frame, its scripts and styles; Plotly is the one that reports carry. Where to listen is the caller's
decision. Nothing is loaded from elsewhere, and nothing can be sent anywhere.
"""

import json
import logging
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

import orjson
import plotly
from dash import Dash, html
from dash.exceptions import DependencyException
from flask import Response, request
from plotly.offline import get_plotlyjs

from dashboards.figures.theme import GRAPH_CONFIG
from dashboards.page import broken_page, live_page
from dashboards.palette import css_variables
from dashboards.serving.drawn import Drawn, DrawnPages, draw, tag_of
from dashboards.serving.studies import Reading, Studies, Study
from dashboards.standalone import asset
from dashboards.view import View, view_of

logger = logging.getLogger(__name__)

_PLOTLY: Final = f"plotly-{plotly.__version__}.js"

# The policy lets the page talk to this server alone; Plotly's WebGL and Dash write functions and styles of their own.
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_INDEX: Final = """<!DOCTYPE html>
<html lang="en" data-interval="INTERVAL" data-graph-config="CONFIG">
<head>
{%metas%}
<title>{%title%}</title>
{%favicon%}
<style>VARIABLES</style>
{%css%}
<script>THEME</script>
<script src="PLOTLY" async></script>
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
        title: of the browser's window, before the first answer.
        interval_ms: time between an answer and the next question.
    """
    followed = Studies(studies)
    pages = DrawnPages()
    filled = {
        "INTERVAL": str(interval_ms),
        "CONFIG": escape(json.dumps(GRAPH_CONFIG)),
        "VARIABLES": css_variables(),
        "THEME": asset("theme.js"),
        "PLOTLY": _PLOTLY,
    }
    index = _INDEX
    for name, text in filled.items():
        index = index.replace(name, text, 1)
    app = Dash(
        __name__,
        title=escape(title),
        update_title="",
        assets_folder=str(Path(__file__).parent / "assets"),
        assets_ignore=r"(report|theme|unpack)\.js",
        index_string=index,
        serve_locally=True,
        enable_mcp=False,
        add_log_handler=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    # Dash makes the two places, and `assets/live.js` writes into them.
    app.layout = html.Div([html.Div(id="server", role="alert"), html.Div(id="content")])

    def look() -> Response:
        """Answer with what a browser must change to show what the link asks for now; with nothing where it does."""
        query, shown = request.args.get("query", ""), request.args.get("shown", "")
        view, complaints = view_of(query)
        complaints += followed.complaints(view)
        readings = followed.shown(view)
        tag = tag_of(query, [(reading.name, reading.revision, reading.error) for reading in readings])
        if tag == shown:
            return Response(status=204)
        page = pages.get_or_draw(tag, lambda: _draw(readings, view, followed.names, complaints, tag))
        return Response(orjson.dumps(page.answer(pages.get(shown))), mimetype="application/json")

    def plotly_script() -> Response:
        return Response(get_plotlyjs(), mimetype="text/javascript", headers={"Cache-Control": "max-age=31536000"})

    app.server.add_url_rule("/look", view_func=look)
    app.server.add_url_rule(f"/{_PLOTLY}", view_func=plotly_script)
    app.server.register_error_handler(DependencyException, _not_there)
    app.server.after_request(_guarded)
    return app


def _draw(readings: Sequence[Reading], view: View, names: Sequence[str], complaints: Sequence[str], tag: str) -> Drawn:
    # Another view or another study is another page, on which nothing of the reader's zoom is kept.
    kind = title = f"{readings[0].name} · {view.page.capitalize()}"
    try:
        tree = live_page(readings, view, names=names, complaints=complaints)
        return draw(tree, tag=tag, title=title, kind=kind)
    except Exception as error:
        # One view that cannot be drawn must not take the others with it.
        logger.exception("The dashboard could not draw %s of %s.", view.page, readings[0].name)
        return draw(broken_page(view, error, names=names), tag=tag, title=title, kind=f"broken {kind}")


def _not_there(error: Exception) -> Response:
    """Answer a wish for a script that Dash does not have, which it would call a failure of the server."""
    del error
    return Response("There is no such file.\n", status=404, mimetype="text/plain")


def _guarded(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers.setdefault("Cache-Control", "no-store")
    return response
