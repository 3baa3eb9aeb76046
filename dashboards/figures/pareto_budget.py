"""What a reader points at in the plane: a budget with what one would pick within it, and the candidate looked at.

Also the study's own limit, which is a budget that the search was given.
"""

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.axes import Axis
from dashboards.analysis.plane import ACROSS, UP, Plane, written
from dashboards.figures.pareto_marks import MAX_WHISKERS, whiskers
from dashboards.figures.pareto_scale import share_within, value_at
from dashboards.figures.pareto_strip import strip_statuses
from dashboards.text import hover_text

FARTHEST_LIMIT: Final = 1.25
"""A limit beyond this multiple of the dearest candidate is left out: it would press the candidates into a corner."""

BEYOND: Final = 1.05
"""How far the picture reaches to the right, as a share of what is drawn."""


CIRCLE_BEND: Final = 0.5523
"""Distance of a Bézier curve's handles from its ends, in radii, that makes four of them a circle."""


def right_edge(plane: Plane) -> float:
    """Return where the picture ends to the right: the same with and without a budget, so that it stands still.

    Raises:
        ValueError: nothing is drawn.
    """
    if plane.span is None:
        raise ValueError("A picture without candidates has no edge.")
    edge = value_at(plane.x, BEYOND, plane.span)
    limit = drawn_limit(plane)
    return edge if limit is None else max(edge, value_at(plane.x, BEYOND, (plane.span[0], limit)))


def drawn_limit(plane: Plane) -> float | None:
    """Return the limit of the search on what is drawn to the right, where it lies near the candidates."""
    limit = plane.results.limits.get(plane.x.column)
    if limit is None or plane.span is None or not 0 < limit <= FARTHEST_LIMIT * plane.span[1]:
        return None
    return float(limit)


def add_limit(figure: go.Figure, plane: Plane) -> None:
    """Draw the limit of the search."""
    limit = drawn_limit(plane)
    if limit is None:
        return
    figure.add_vline(x=limit, line={"color": palette.MUTED, "width": 1.2, "dash": "dot"}, layer="below")
    _say_on_line(figure, plane, limit, f"limit {bound(plane.x, limit)}", colour=palette.MUTED, height=0.93)


def add_budget(figure: go.Figure, plane: Plane) -> None:
    """Draw the budget as a line, a veil over what is beyond it, and a frame around the pick."""
    budget = plane.view.budget
    if budget is None or plane.pick_objective is None or plane.span is None or (plane.x.is_log and budget <= 0):
        return
    edge = right_edge(plane)
    if budget < edge:
        figure.add_shape(
            type="rect",
            xref="x",
            # The rows above and below stay legible: there the line is enough.
            yref="paper" if plane.placed.empty else "y domain",
            x0=budget,
            x1=edge,
            y0=0,
            y1=1,
            fillcolor=palette.SURFACE,
            opacity=0.6,
            line={"width": 0},
            layer="above",
        )
        figure.add_vline(x=budget, line={"color": palette.INK, "width": 1.6, "dash": "dash"})
        words = f"budget {bound(plane.x, budget)}" + ("" if plane.pick is None else f", pick #{plane.pick['number']}")
        _say_on_line(figure, plane, budget, words, colour=palette.INK, height=0.99)
    if plane.pick is not None and pd.notna(plane.pick[UP]):
        x, y = float(plane.pick[ACROSS]), float(plane.pick[UP])
        _add_frame(figure, x=x, y=y, outline=_square(13), colour=palette.INK)


def add_chosen(figure: go.Figure, plane: Plane) -> None:
    """Draw a ring around the candidate that is looked at, wherever it stands."""
    number = plane.view.trial
    placed = plane.placed[plane.placed["number"] == number]
    without = plane.without_score[plane.without_score["number"] == number]
    if len(placed):
        x, y, axis = float(placed[ACROSS].iloc[0]), float(placed[UP].iloc[0]), "y"
        _add_spread(figure, plane, placed)
    elif len(without):
        x, y = float(without[ACROSS].iloc[0]), float(strip_statuses(plane).index(without["status"].iloc[0]))
        axis = "y2"
    else:
        return
    _add_frame(figure, x=x, y=y, outline=_circle(10 if axis == "y" else 8), colour=palette.INK, axis=axis)


def _add_spread(figure: go.Figure, plane: Plane, row: pd.DataFrame) -> None:
    """Draw the spread over the seeds of a candidate among so many that the others show none."""
    spread = whiskers(plane, row, colour=palette.INK)
    if spread and len(plane.rows) > MAX_WHISKERS:
        figure.add_scattergl(
            x=row[ACROSS].tolist(),
            y=row[UP].tolist(),
            mode="markers",
            name="looked at",
            marker={"symbol": "line-ew-open", "size": 4, "color": palette.INK},
            customdata=row["number"].tolist(),
            hoverinfo="skip",
            showlegend=False,
            **spread,
        )


def bound(axis: Axis, value: float) -> str:
    """Return a budget or limit with its unit, as it was set: without digits that nobody gave."""
    return written(axis, value) if axis.is_count else f"{value:.4g} {axis.unit}".rstrip()


def _add_frame(figure: go.Figure, *, x: float, y: float, outline: str, colour: str, axis: str = "y") -> None:
    """Draw an outline around a mark, above everything, of constant size in pixels."""
    figure.add_shape(
        # Not a rectangle or circle: Plotly takes no negative ends of these where the axis is logarithmic.
        type="path",
        path=outline,
        xref="x",
        yref=axis,
        xsizemode="pixel",
        ysizemode="pixel",
        xanchor=x,
        yanchor=y,
        line={"color": colour, "width": 2.4},
        layer="above",
    )


def _square(radius: float) -> str:
    return f"M{-radius},{-radius}L{radius},{-radius}L{radius},{radius}L{-radius},{radius}Z"


def _circle(radius: float) -> str:
    bend = radius * CIRCLE_BEND
    return (
        f"M{radius},0C{radius},{bend},{bend},{radius},0,{radius}C{-bend},{radius},{-radius},{bend},{-radius},0"
        f"C{-radius},{-bend},{-bend},{-radius},0,{-radius}C{bend},{-radius},{radius},{-bend},{radius},0Z"
    )


def _say_on_line(figure: go.Figure, plane: Plane, value: float, text: str, *, colour: str, height: float) -> None:
    """Write beside a vertical line what it is, on the side with room."""
    assert plane.span is not None, "a line stands among candidates"
    is_right = share_within(plane.x, value, plane.span) > 0.8
    figure.add_annotation(
        text=hover_text(text),
        # Annotations are placed on logarithmic axes by the exponent, shapes by the value.
        x=plane.x.position(value),
        y=height,
        yref="y domain",
        xanchor="right" if is_right else "left",
        yanchor="top",
        xshift=-5 if is_right else 5,
        showarrow=False,
        bgcolor=palette.SURFACE,
        borderpad=1,
        font={"size": 12.5, "color": colour},
    )
