"""The candidates over the first two objectives, those that a brush leaves out faded: the twin of the parallel axes."""

import base64
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboards import palette
from dashboards.analysis.picking import Candidates, Picked
from dashboards.figures.hover import brief, compact
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Objective, Results
from dashboards.text import hover_text

CROWD: Final = 1000
"""More candidates than this are drawn by WebGL."""

_ORDER: Final = Objective(column="finish_index", label="Order of finishing")
_FADED: Final = 0.16
_FADED_IN_CROWD: Final = 0.04
"""Of thousands, which lie over each other."""


def picked_figure(candidates: Candidates, picked: Picked, results: Results, *, chosen: int | None) -> go.Figure:
    """Draw all candidates; with a brush, those it leaves out step back."""
    figure = new_figure(height=400)
    rows = candidates.rows
    if rows.empty:
        return say_instead(figure, "No candidate has finished yet.")
    up = results.objectives[0]
    across = results.objectives[1] if len(results.objectives) > 1 else _ORDER
    num_ordinary = int((~candidates.is_frontier).sum())
    looks = (
        ("candidate", 0, num_ordinary, "circle-open", palette.MARK, 7),
        ("frontier", num_ordinary, len(rows), "diamond", palette.ACCENT, 11),
    )
    add = figure.add_scattergl if len(rows) > CROWD else figure.add_scatter
    for name, start, stop, symbol, colour, size in looks:
        group = rows.iloc[start:stop]
        is_crowd = len(group) > CROWD
        add(
            x=compact(group[across.column].astype(float)),
            y=compact(group[up.column]),
            mode="markers",
            name=name,
            showlegend=not group.empty,
            marker={
                "symbol": symbol,
                "color": colour,
                "size": 5 if is_crowd else size,
                "opacity": 0.55 if is_crowd else 1,
                "line": {"width": 1 if is_crowd else 1.4, "color": palette.SURFACE if name == "frontier" else colour},
            },
            unselected={"marker": {"opacity": _FADED_IN_CROWD if is_crowd else _FADED}},
            selectedpoints=np.flatnonzero(picked.mask[start:stop]).tolist() if picked.ranges else None,
            meta=[start, stop],
            **brief(group, y=up, x=across),
        )
    _ring(figure, rows[rows["number"] == chosen], across=across.column, up=up.column)
    figure.update_layout(
        meta={
            "columns": {axis.name: packed(axis.values, is_whole=axis.is_whole) for axis in candidates.axes},
            "numbers": packed(rows["number"].to_numpy(dtype=float), is_whole=True),
            "num_ordinary": num_ordinary,
        },
        uirevision=f"{across.column}-{up.column}",
        selectionrevision=0,
        xaxis={"title": {"text": hover_text(across.title)}, "type": "log" if across.log else "linear"},
        yaxis={"title": {"text": hover_text(up.title)}, "type": "log" if up.log else "linear"},
        margin={"l": 72, "r": 24, "t": 44, "b": 56},
    )
    return figure


def packed(values: NDArray[np.float64], *, is_whole: bool) -> dict[str, str]:
    """Return numbers as text that a browser unpacks without parsing, in the smallest type that tells them apart."""
    dtype = "f4"
    if is_whole and np.isfinite(values).all() and values.size and values.min() >= 0:
        dtype = next((name for name in ("u1", "u2", "u4") if values.max() <= np.iinfo(name).max), dtype)
    data = values.astype(f"<{dtype}").tobytes()
    return {"dtype": dtype, "bdata": base64.b64encode(data).decode("ascii")}


def _ring(figure: go.Figure, row: Any, *, across: str, up: str) -> None:
    """Put a ring round the candidate that is looked at."""
    if row.empty:
        return
    number = int(row["number"].iloc[0])
    figure.add_scatter(
        x=row[across].astype(float).tolist(),
        y=row[up].astype(float).tolist(),
        mode="markers",
        name=f"#{number}",
        marker={"symbol": "circle-open", "size": 19, "color": palette.INK, "line": {"width": 2}},
        hoverinfo="skip",
        customdata=[number],
    )
