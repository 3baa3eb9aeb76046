"""The grounds behind pictures of progress: where the random start ends, and where the search stood still.

What goes on before these grounds is drawn in `progress.py`.
"""

from typing import Final

import pandas as pd
import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.pace import Break
from dashboards.analysis.selection import is_evolved
from dashboards.text import duration

_MAX_LINES: Final = 12
_MAX_NAMED: Final = 3
_SHORTEST_DRAWN: Final = 0.005
"""Share of the whole time that a break must have lasted to be drawn."""


def shade_origins(
    figure: go.Figure, rows: pd.DataFrame, position: "pd.Series[float]", *, last: float, before: float
) -> None:
    """Give the random start and what was evolved their grounds.

    Args:
        figure: has two pictures.
        rows: candidates in order.
        position: of each, to the right.
        last: where the picture ends.
        before: how far a ground begins before its first candidate and ends behind its last.
    """
    evolved = position[is_evolved(rows)]
    end = float(position.iloc[-1]) + before
    boundary = float(evolved.iloc[0]) - before if len(evolved) else end
    start = "random" if "seed" not in set(rows["origin"]) else "random and seeds"
    grounds = ((before, boundary, palette.PAGE, start), (boundary, end, palette.ACCENT_SOFT, "evolved"))
    for begin, right, colour, label in grounds:
        if right <= begin:
            continue
        for axis in ("", "2"):
            figure.add_shape(
                type="rect",
                x0=begin,
                x1=right,
                xref=f"x{axis}",
                y0=0,
                y1=1,
                yref=f"y{axis} domain",
                fillcolor=colour,
                opacity=0.65,
                line={"width": 0},
                layer="below",
            )
            if right - begin < 0.2 * last:  # Too narrow for its name.
                continue
            figure.add_annotation(
                text=label,
                x=(begin + right) / 2,
                xref=f"x{axis}",
                y=1,
                yref=f"y{axis} domain",
                yanchor="bottom",
                showarrow=False,
                font={"size": 12.5, "color": palette.MUTED},
            )


def mark_breaks(figure: go.Figure, breaks: tuple[Break, ...], *, last: float) -> None:
    """Draw the longest breaks as upright lines where they were, some of them with their length.

    Args:
        figure: has two pictures, drawn over hours of search.
        breaks: of the study in front.
        last: where the picture ends.
    """
    shortest_s = _SHORTEST_DRAWN * last * 3600
    longest = sorted((entry for entry in breaks if entry.seconds >= shortest_s), key=lambda entry: -entry.seconds)
    for entry in _apart(longest, share=0.01, last=last)[:_MAX_LINES]:
        for axis in ("", "2"):
            figure.add_shape(
                type="line",
                x0=entry.hours,
                x1=entry.hours,
                xref=f"x{axis}",
                y0=0,
                y1=1,
                yref=f"y{axis} domain",
                line={"width": 1.2, "color": palette.MARK, "dash": "4px,3px"},
            )
    for entry in _apart(longest, share=0.05, last=last)[:_MAX_NAMED]:
        figure.add_annotation(
            text=f"stood still {duration(entry.seconds)}",
            textangle=-90,
            x=entry.hours,
            xref="x",
            y=0.02,
            yref="y domain",
            # To its left, where there is room.
            xanchor="right" if entry.hours > 0.05 * last else "left",
            yanchor="bottom",
            showarrow=False,
            font={"size": 11.5, "color": palette.MUTED},
        )


def _apart(breaks: list[Break], *, share: float, last: float) -> list[Break]:
    """Return the first breaks between which there is at least this share of the picture."""
    kept: list[Break] = []
    for entry in breaks:
        if all(abs(entry.hours - other.hours) >= share * last for other in kept):
            kept.append(entry)
    return kept
