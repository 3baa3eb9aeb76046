"""The rows above the plane: candidates without a score, each at its place to the right, in a row for what became of it.

A second vertical axis of its own, so that they vanish neither from the picture nor into it.
"""

from typing import Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.plane import Plane
from dashboards.figures.pareto_marks import add_marks, unusual_marker

ROWS: Final = {
    "running": "running",
    "infeasible": "over a limit",
    "failed": "failed",
    "stopped": "stopped early",
}
"""From the top."""


PADDING: Final = 0.15
"""Rows of room above the first and below the last, so that a ring around a mark is whole."""


def strip_statuses(plane: Plane) -> list[str]:
    """Return the statuses that need a row."""
    present = set(plane.without_score["status"])
    return [status for status in ROWS if status in present]


def add_strip(figure: go.Figure, plane: Plane, *, bottom: float) -> None:
    """Draw what has no score between this share of the height and the top."""
    statuses = strip_statuses(plane)
    for row, status in enumerate(statuses):
        add_marks(
            figure,
            plane,
            plane.without_score[plane.without_score["status"] == status],
            name=ROWS[status],
            marker=unusual_marker(status) | {"opacity": 0.6 if plane.is_crowd else 1},
            row=row,
            # The row itself is named at the axis.
            showlegend=False,
        )
    names = {row: ROWS[status] for row, status in enumerate(statuses)}
    figure.update_layout(yaxis2=rows_axis(names, domain=(bottom, 1.0), num_rows=len(statuses)))
    add_ground(figure, domain=(bottom, 1.0))


def rows_axis(
    names: dict[int, str] | dict[float, str], *, domain: tuple[float, float], num_rows: int
) -> dict[str, object]:
    """Return a vertical axis over which marks stand in rows, the first at the top.

    Args:
        names: by the height at which they are written, in rows.
        domain: lowest and highest share of the figure's height.
        num_rows: rows there are.
    """
    return {
        "domain": domain,
        "range": [num_rows - 0.5 + PADDING, -0.5 - PADDING],
        "fixedrange": True,
        "anchor": "x",
        "showgrid": False,
        "ticks": "",
        "tickvals": list(names),
        "ticktext": list(names.values()),
    }


def add_ground(figure: go.Figure, *, domain: tuple[float, float]) -> None:
    """Lay a ground under rows of marks that sets them apart from the plane."""
    figure.add_shape(
        type="rect",
        xref="paper",
        yref="paper",
        x0=0,
        x1=1,
        y0=domain[0],
        y1=domain[1],
        fillcolor=palette.PAGE,
        line={"width": 0},
        layer="below",
    )
