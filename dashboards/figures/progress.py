"""How the search went: hypervolume and the best first objective over evaluated candidates.

The two grounds tell the random start from what evolution proposed. What the two halves are worth against each other is
another question, answered in `comparison.py`.
"""

import pandas as pd
import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.hover import brief, compact
from dashboards.figures.marks import SYMBOLS
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Objective, Results
from dashboards.selection import evaluated, is_evolved


def progress_figure(results: Results) -> go.Figure:
    """Draw hypervolume above, and every candidate with the best so far below."""
    figure = new_figure(height=460)
    rows = evaluated(results)
    if not (rows["status"] == "finished").any():
        return say_instead(figure, "No candidate has finished yet.")
    position = pd.Series(range(1, len(rows) + 1), index=rows.index)
    quality = results.objectives[0]
    _shade_halves(figure, rows, position)
    _add_hypervolume(figure, rows, position)
    _add_best(figure, rows, position, quality)
    figure.update_layout(
        showlegend=False,
        margin={"l": 72, "r": 24, "t": 34, "b": 56},
        xaxis={
            "title": {"text": "Candidates evaluated"},
            "anchor": "y2",
            "autorangeoptions": {"minallowed": 0.4, "maxallowed": len(rows) + 0.6},
        },
        yaxis={"title": {"text": "Hypervolume"}, "domain": [0.56, 1]},
        yaxis2={
            "title": {"text": f"{quality.title}, best so far"},
            "domain": [0, 0.46],
            "anchor": "x",
            "type": "log" if quality.log else "linear",
        },
    )
    return figure


def _add_hypervolume(figure: go.Figure, rows: pd.DataFrame, position: "pd.Series[int]") -> None:
    known = rows["hypervolume"].notna()
    figure.add_scatter(
        x=position[known].tolist(),
        y=rows.loc[known, "hypervolume"].astype(float).tolist(),
        mode="lines",
        line={"shape": "hv", "width": 2.2, "color": palette.ACCENT},
        name="hypervolume",
        hovertemplate="after %{x} candidates<br>hypervolume %{y:.4~g}<extra></extra>",
    )


def _add_best(figure: go.Figure, rows: pd.DataFrame, position: "pd.Series[int]", quality: Objective) -> None:
    values = rows[quality.column].astype(float)
    finished = values.notna() & (rows["status"] == "finished")
    scored = rows[finished]
    figure.add_scatter(
        x=position[finished].to_numpy(),
        y=compact(values[finished]),
        yaxis="y2",
        mode="markers",
        name="candidate",
        marker={
            "symbol": [f"{SYMBOLS[origin]}-open" for origin in scored["origin"]],
            "size": 6.5 if len(scored) < 1000 else 4,
            "color": palette.FAINT,
            "line": {"width": 1.3},
        },
        **brief(scored, y=quality),
    )
    figure.add_scatter(
        x=position[finished].tolist(),
        y=values[finished].cummin().tolist(),
        yaxis="y2",
        mode="lines",
        line={"shape": "hv", "width": 2.2, "color": palette.ACCENT},
        name="best so far",
        hovertemplate="after %{x} candidates<br>best %{y:.4~g}<extra></extra>",
    )


def _shade_halves(figure: go.Figure, rows: pd.DataFrame, position: "pd.Series[int]") -> None:
    evolved = position[is_evolved(rows)]
    boundary = (int(evolved.iloc[0]) if len(evolved) else len(rows) + 1) - 0.5
    start = "random" if "seed" not in set(rows["origin"]) else "random and seeds"
    grounds = (
        (0.4, boundary, palette.PAGE, start),
        (boundary, len(rows) + 0.6, palette.ACCENT_SOFT, "evolved"),
    )
    for left, right, colour, label in grounds:
        if right - left < 0.5:
            continue
        figure.add_shape(
            type="rect",
            x0=left,
            x1=right,
            y0=0,
            y1=1,
            yref="paper",
            fillcolor=colour,
            opacity=0.65,
            line={"width": 0},
            layer="below",
        )
        if right - left < 0.15 * len(rows):  # Too narrow for its name.
            continue
        figure.add_annotation(
            text=label,
            x=(left + right) / 2,
            y=1,
            yref="paper",
            yanchor="bottom",
            showarrow=False,
            font={"size": 12.5, "color": palette.MUTED},
        )
