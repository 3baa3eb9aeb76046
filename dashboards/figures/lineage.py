"""Where the frontier comes from: its ancestors, parent to child, over the order in which they were evaluated.

Not the whole family tree: candidates that led to no frontier member are left as faint marks.
"""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.hover import brief, compact, full
from dashboards.figures.marks import SYMBOLS
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Objective, Results
from dashboards.selection import evaluated, frontier


def lineage_figure(results: Results) -> go.Figure:
    """Draw the first objective over the order of evaluation, with lines from parents to children."""
    figure = new_figure(height=420)
    quality = results.objectives[0]
    rows = evaluated(results)
    rows = rows.assign(position=range(1, len(rows) + 1))
    drawn = rows[(rows["status"] == "finished") & rows[quality.column].notna()].set_index("number", drop=False)
    members = [number for number in frontier(results)["number"].tolist() if number in drawn.index]
    born = drawn[drawn["parent"].isin(drawn.index)]
    parents = dict(zip(born["number"].tolist(), born["parent"].astype(int).tolist(), strict=True))
    links = _links(members, parents)
    if not links:
        return say_instead(figure, "No frontier candidate has a parent yet.")
    _add_links(figure, links, drawn, quality)
    family = {number for link in links for number in link} | set(members)
    others = drawn[~drawn.index.isin(family)]
    ancestors = drawn[drawn.index.isin(family - set(members))]
    _add_marks(
        figure,
        others,
        quality,
        name="other candidates",
        size=6.5 if len(others) < 1000 else 4,
        color=palette.FAINT,
        **brief(others, y=quality),
    )
    _add_marks(
        figure, ancestors, quality, name="ancestors", size=9, color=palette.ACCENT, **full(ancestors, results=results)
    )
    best = drawn.loc[members]
    _add_marks(
        figure, best, quality, name="frontier", size=11, color=palette.ACCENT, suffix="",
        mode="markers+text", text=[f"#{number}" for number in members], textposition="bottom center",
        textfont={"size": 12, "color": palette.ACCENT}, cliponaxis=False, **full(best, results=results),
    )  # fmt: skip
    figure.update_layout(
        margin={"l": 72, "r": 24, "t": 56, "b": 56},
        xaxis={"title": {"text": "Candidates evaluated"}},
        yaxis={"title": {"text": quality.title}, "type": "log" if quality.log else "linear"},
    )
    return figure


def _links(members: Collection[int], parents: Mapping[int, int]) -> list[tuple[int, int]]:
    """Return every (parent, child) on the way from the frontier back to where its lines began."""
    links: dict[tuple[int, int], None] = {}
    for member in members:
        child = member
        while child in parents and (parents[child], child) not in links:
            links[(parents[child], child)] = None
            child = parents[child]
    return list(links)


def _add_links(figure: go.Figure, links: list[tuple[int, int]], drawn: pd.DataFrame, quality: Objective) -> None:
    places = dict(zip(drawn.index, zip(drawn["position"], drawn[quality.column], strict=True), strict=True))
    x: list[float | None] = []
    y: list[float | None] = []
    for parent, child in links:
        x += [places[parent][0], places[child][0], None]
        y += [places[parent][1], places[child][1], None]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"width": 1.6, "color": palette.ACCENT},
        opacity=0.55,
        name="parent to child",
        hoverinfo="skip",
    )


def _add_marks(
    figure: go.Figure,
    rows: pd.DataFrame,
    quality: Objective,
    *,
    size: float,
    color: str,
    suffix: str = "-open",
    **attributes: Any,
) -> None:
    if rows.empty:
        return
    marker = {
        "symbol": [SYMBOLS[origin] + suffix for origin in rows["origin"]],
        "size": size,
        "color": color,
        "line": {"width": 1.4, "color": color if suffix else palette.SURFACE},
    }
    shown = {"mode": "markers"} | attributes
    figure.add_scatter(x=rows["position"].to_numpy(), y=compact(rows[quality.column]), marker=marker, **shown)
