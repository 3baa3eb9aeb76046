"""Candidates as marks: a symbol for what became of each, filled only on the frontier.

Not the frontier itself: that is `pareto_frontier.py`.
"""

from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.axes import values_of
from dashboards.analysis.plane import ACROSS, UP, Plane
from dashboards.figures.hover import compact
from dashboards.figures.marks import ORIGIN_GROUPS, SYMBOLS
from dashboards.text import hover_text

MAX_WHISKERS: Final = 200
"""Candidates up to which all of them show the spread over their seeds; beyond, the frontier alone does."""

LOOKS: Final = {
    "infeasible": ("line-ns-open", palette.FAINT, 10),
    "failed": ("x-thin-open", palette.FAILURE, 9),
    "stopped": ("triangle-down-open", palette.FAINT, 8),
    "running": ("hourglass-open", palette.MUTED, 9),
}
"""Symbol, colour and size of what is neither on the frontier nor dominated."""


def add_dominated(figure: go.Figure, plane: Plane) -> None:
    """Draw what finished without being on the frontier, by origin."""
    rows = plane.placed
    rows = rows[(rows["status"] == "finished") & ~rows["is_frontier"].astype(bool)]
    for label, origins in ORIGIN_GROUPS.items():
        group = rows[rows["origin"].isin(origins)]
        marker = {
            "symbol": f"{SYMBOLS[origins[0]]}-open",
            "size": 5 if plane.is_crowd else 9 if label == "evolved" else 8,
            "color": palette.MARK,
            "opacity": 0.55 if plane.is_crowd else 1,
            "line": {"width": 1 if plane.is_crowd else 1.4},
        }
        add_marks(figure, plane, group, name=label, marker=marker, legendgroup=label, has_whiskers=True)


def add_unusual(figure: go.Figure, plane: Plane) -> None:
    """Draw what has a score and still is no finished candidate: over a limit, or stopped early."""
    rows = plane.placed
    for status, name in (
        ("infeasible", "over a limit"),
        ("stopped", "stopped early, as expected"),
        ("failed", "failed"),
    ):
        add_marks(
            figure, plane, rows[rows["status"] == status], name=name, marker=unusual_marker(status), legendgroup=name
        )


def unusual_marker(status: str) -> dict[str, Any]:
    """Return the mark of a status that is not `finished`."""
    symbol, colour, size = LOOKS[status]
    return {"symbol": symbol, "size": size, "color": colour, "line": {"width": 1.4 if status == "stopped" else 2}}


def add_marks(
    figure: go.Figure,
    plane: Plane,
    rows: pd.DataFrame,
    *,
    name: str,
    marker: dict[str, Any],
    row: int | None = None,
    has_whiskers: bool = False,
    is_described: bool = False,
    **attributes: Any,
) -> None:
    """Draw candidates as one trace; none for no candidates.

    Args:
        figure: taken further.
        plane: what it draws.
        rows: the candidates, with their coordinates.
        name: in the legend.
        marker: how each looks.
        row: in which row above the plane they stand; none for those that stand in it.
        has_whiskers: whether to show the spread over seeds, unless there are many candidates.
        is_described: whether each is described in full also in a crowd.
        attributes: of the trace besides.
    """
    if rows.empty:
        return
    if has_whiskers and len(plane.rows) <= MAX_WHISKERS:
        attributes |= whiskers(plane, rows, colour=palette.FAINT)
    # All of them one way: what WebGL draws lies on what is drawn without, whatever the order.
    draw = figure.add_scattergl if plane.is_crowd else figure.add_scatter
    draw(
        x=compact(rows[ACROSS]),
        y=compact(rows[UP]) if row is None else np.full(len(rows), row, dtype=np.float32),
        yaxis="y" if row is None else "y2",
        mode="markers",
        name=name,
        marker=marker,
        **(
            _described(plane, rows)
            if is_described or not plane.is_crowd
            else _brief(plane, rows, name=name, has_score=row is None)
        ),
        **attributes,
    )


def _described(plane: Plane, rows: pd.DataFrame) -> dict[str, Any]:
    """Return the trace attributes that describe each candidate, and that a press is told by."""
    numbers = rows["number"].tolist()
    words = [plane.descriptions[number] for number in numbers]
    return {"hovertext": words, "hoverinfo": "text", "customdata": numbers}


def whiskers(plane: Plane, rows: pd.DataFrame, *, colour: str) -> dict[str, Any]:
    """Return the trace attributes of the spread over seeds, one standard deviation to both sides."""
    first = plane.results.objectives[0].column
    spread = values_of(rows, "deviation")
    if spread.isna().all():
        return {}
    # A list would turn what is not known into nulls, and Plotly draws these as a spread of zero.
    array = spread.to_numpy(dtype=np.float32)
    bars = {"type": "data", "array": array, "color": colour, "thickness": 1.3, "width": 3}
    axes = (("error_x", plane.x), ("error_y", plane.y))
    return {name: bars for name, axis in axes if axis.column == first}


def _brief(plane: Plane, rows: pd.DataFrame, *, name: str, has_score: bool) -> dict[str, Any]:
    """Return the trace attributes of a hover that the browser fills in, so that a crowd takes little room."""
    shown = [(plane.y, "y"), (plane.x, "x")] if has_score else [(plane.x, "x")]
    lines = [f"<b>#%{{customdata}}</b>  {name}"]
    for one, letter in shown:
        kind = ",.0f" if one.is_count else ",.4~r"
        lines.append(f"{hover_text(one.label)} %{{{letter}:{kind}}} {hover_text(one.unit)}".rstrip())
    return {"customdata": rows["number"].to_numpy(), "hovertemplate": "<br>".join(lines) + "<extra></extra>"}
