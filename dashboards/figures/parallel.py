"""Candidates as lines across parallel axes: what the frontier's have in common, and what a brush picks out.

Drawn as a plain figure, which takes a browser without a graphics card a few milliseconds where Plotly's own kind takes
more than a second. `assets/brush.js` draws the same lines anew while a reader drags along an axis.
"""

import math
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboards import palette
from dashboards.analysis.picking import Candidates, ParallelAxis, Picked
from dashboards.figures.log_axis import log_axis
from dashboards.figures.theme import new_figure, say_instead
from dashboards.text import count, hover_text

MAX_LINES: Final = 500
"""Lines of picked candidates off the frontier; of more an even sample is drawn."""

MAX_FADED: Final = 300
"""Lines of candidates that are not picked, drawn faintly behind the others."""

MAX_MARKED: Final = 60
"""Members of the frontier up to which their lines carry marks: of more, marks hide the lines and draw slowly."""

_NUM_TICKS: Final = 5
_MARGIN: Final = 0.42
"""Room beside the outer axes, in distances between axes."""

_HALO: Final = ", ".join([f"0 0 3px {palette.SURFACE}"] * 4)
"""Keeps the labels of ticks readable over lines."""

BRUSH_SHAPE: Final[dict[str, Any]] = {
    "type": "rect",
    "xsizemode": "pixel",
    "x0": -8,
    "x1": 8,
    "fillcolor": palette.ACCENT,
    "opacity": 0.32,
    "line": {"width": 1.5, "color": palette.ACCENT},
    "layer": "above",
}


def parallel_figure(candidates: Candidates, picked: Picked, *, chosen: int | None) -> go.Figure:
    """Draw the candidates over all axes.

    Args:
        candidates: all that finished.
        picked: what the brush leaves.
        chosen: number of the candidate that is looked at.
    """
    figure = new_figure(height=430)
    axes = candidates.axes
    if len(axes) < 2:
        return say_instead(figure, "Too few candidates have finished to compare them along several axes.")
    numbers = candidates.rows["number"].to_numpy(dtype=int)
    ordinary, special = ~candidates.is_frontier, candidates.is_frontier
    ordinary_in = evenly(np.flatnonzero(ordinary & picked.mask), MAX_LINES)
    groups: list[tuple[str, NDArray[np.int64], dict[str, Any]]] = [
        ("out", evenly(np.flatnonzero(ordinary & ~picked.mask), MAX_FADED), _look("not picked", palette.RULE, 1)),
        ("in", ordinary_in, _look("candidate", palette.MARK, 1, opacity_of(len(ordinary_in)))),
        (
            "frontier-out",
            np.flatnonzero(special & ~picked.mask),
            _look("frontier, not picked", palette.FAINT, 1, 0.45, dash="dot"),
        ),
        ("frontier-in", np.flatnonzero(special & picked.mask), _frontier_look(int(special.sum()))),
        ("chosen", np.flatnonzero(numbers == chosen), _look(f"#{chosen}", palette.INK, 2.2, dash="dash")),
    ]
    for name, rows, look in groups:
        x, y, owners = polylines(axes, rows, numbers)
        figure.add_scatter(
            x=x,
            y=y,
            customdata=owners if name.startswith("frontier") else None,
            meta=name,
            showlegend=len(rows) > 0 and name != "out",
            **look,
        )
    _add_ticks(figure, axes)
    figure.update_layout(
        meta={
            "axes": [_for_browser(axis) for axis in axes],
            "brush": {name: list(ends) for name, ends in picked.ranges.items()},
            "brush_shape": BRUSH_SHAPE,
            "max_lines": MAX_LINES,
            "max_faded": MAX_FADED,
        },
        dragmode=False,
        margin={"l": 12, "r": 12, "t": 104, "b": 20},
        xaxis={"range": [-_MARGIN, len(axes) - 1 + _MARGIN], "fixedrange": True, "visible": False, "automargin": False},
        yaxis={"range": [-0.03, 1.03], "fixedrange": True, "visible": False, "automargin": False},
        shapes=[*map(_axis_shape, range(len(axes))), *_brush_shapes(axes, picked)],
        annotations=[_title(place, axis) for place, axis in enumerate(axes)],
    )
    return figure


def opacity_of(num_lines: int) -> float:
    """Return how dark so many lines are drawn: a few should be seen, of thousands where they are many."""
    return float(np.clip(10 / math.sqrt(num_lines + 1), 0.25, 0.8))


def evenly(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many of the rows, evenly spread over their order."""
    if len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]


def polylines(
    axes: tuple[ParallelAxis, ...], rows: NDArray[np.int64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[int | None]]:
    """Return one line a row across all axes as x, y and the candidate's number, with a gap after each."""
    places = np.stack([axis.within(axis.values[rows]) for axis in axes] + [np.full(len(rows), np.nan)], axis=1)
    across = np.array([*range(len(axes)), np.nan])
    owners = [owner for number in numbers[rows].tolist() for owner in (*[number] * len(axes), None)]
    return np.tile(across, len(rows)).astype(np.float32), places.ravel().astype(np.float32), owners


def _look(name: str, colour: str, width: float, opacity: float = 1, *, dash: str = "solid") -> dict[str, Any]:
    line = {"color": colour, "width": width, "dash": dash}
    return {"mode": "lines", "name": name, "line": line, "opacity": opacity, "hoverinfo": "skip"}


def _frontier_look(num_lines: int) -> dict[str, Any]:
    width = float(np.clip(9 / math.sqrt(num_lines + 1), 1.2, 2.2))
    return {
        "mode": "lines+markers" if num_lines <= MAX_MARKED else "lines",
        "name": "frontier",
        "line": {"color": palette.ACCENT, "width": width},
        "marker": {
            "symbol": "diamond",
            "size": 2.5 + 2 * width,
            "color": palette.ACCENT,
            "line": {"width": 0.8, "color": palette.SURFACE},
        },
        "cliponaxis": False,
        "hovertemplate": "<b>#%{customdata}</b>  frontier<extra></extra>",
    }


def _add_ticks(figure: go.Figure, axes: tuple[ParallelAxis, ...]) -> None:
    marks = [(place, axis, tick) for place, axis in enumerate(axes) for tick in ticks_of(axis)]
    figure.add_scatter(
        x=[place for place, _, _ in marks],
        y=[float(axis.within(np.array(tick))) for _, axis, tick in marks],
        text=[f"– {tick_text(axis, tick)}" for _, axis, tick in marks],
        mode="text",
        textposition="middle right",
        textfont={"size": 11.5, "color": palette.INK, "shadow": _HALO},
        cliponaxis=False,
        hoverinfo="skip",
        showlegend=False,
        meta="ticks",
    )


def ticks_of(axis: ParallelAxis) -> list[float]:
    """Return round values along an axis, about five."""
    if axis.is_log:
        found = log_axis([axis.low / 0.9, axis.high / 1.1])["tickvals"]
        ticks = [tick for tick in found if axis.low <= tick <= axis.high]  # type: ignore[attr-defined]  # a list
        return ticks[:: math.ceil(len(ticks) / (_NUM_TICKS + 2))] if ticks else [axis.low, axis.high]
    rough = (axis.high - axis.low) / _NUM_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    step = max(1.0, math.ceil(step)) if axis.is_whole else step
    first = math.ceil(axis.low / step - 1e-9)
    return [float(f"{times * step:.12g}") for times in range(first, math.floor(axis.high / step + 1e-9) + 1)]


def tick_text(axis: ParallelAxis, tick: float) -> str:
    """Return a round value without digits that say nothing."""
    return count(tick).replace(".00", "") if axis.name == "num_parameters" else f"{tick:,.6g}".replace("-", "−")


def _title(place: int, axis: ParallelAxis) -> dict[str, Any]:
    words = hover_text(axis.label, width=12, max_lines=3)
    unit = hover_text(axis.unit, width=12, max_lines=1)
    better = "<br>↓ is better" if axis.is_objective else ""
    return {
        "text": f"<b>{words}</b>" + (f" {unit}" if axis.unit else "") + better,
        "x": place,
        "xref": "x",
        "y": 1,
        "yref": "paper",
        "yshift": 8,
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 12, "color": palette.INK},
    }


def _axis_shape(place: int) -> dict[str, Any]:
    line = {"width": 1.4, "color": palette.MUTED}
    return {"type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "line": line, "layer": "above"}


def _brush_shapes(axes: tuple[ParallelAxis, ...], picked: Picked) -> list[dict[str, Any]]:
    return [
        {**BRUSH_SHAPE, "name": f"brush {axis.name}", "xanchor": place, "y0": low, "y1": high}
        for place, axis in enumerate(axes)
        if axis.name in picked.ranges
        for low, high in [brush_ends(axis, picked.ranges[axis.name])]
    ]


def brush_ends(axis: ParallelAxis, ends: tuple[float, float]) -> tuple[float, float]:
    """Return where a brush begins and ends along its axis, at least so long that it is seen."""
    low, high = np.clip(axis.within(np.clip(np.array(ends, dtype=float), axis.low, axis.high)), 0, 1)
    return max(0.0, float(low) - 0.012), min(1.0, float(high) + 0.012)


def _for_browser(axis: ParallelAxis) -> dict[str, Any]:
    """Return what the browser must know of an axis to draw and to read brushes."""
    return {
        "name": axis.name,
        "label": axis.label,
        "unit": axis.unit,
        "low": axis.low,
        "high": axis.high,
        "log": axis.is_log,
        "whole": axis.is_whole,
        "slack": axis.slack,
    }
