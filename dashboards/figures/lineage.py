"""Where the frontier comes from: its ancestors, parent to child, over the order in which they were evaluated.

Not the whole family tree: candidates that led to no frontier member are left as faint marks.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboards import palette
from dashboards.analysis.selection import evaluated_columns, frontier
from dashboards.figures.hover import brief, compact, full
from dashboards.figures.marks import SYMBOLS
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Objective, Results

MANY = 1000
"""Above so many marks they are drawn by WebGL."""

MANY_WORDS = 300
"""Above so many marks their words are short."""


def lineage_figure(results: Results) -> go.Figure:
    """Draw the first objective over the order of evaluation, with lines from parents to children."""
    figure = new_figure(height=420)
    quality = results.objectives[0]
    columns = dict.fromkeys(("number", "status", "origin", "parent", quality.column))
    rows = evaluated_columns(results, *columns)
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
    _add_others(figure, drawn[~drawn.index.isin(family)], quality)
    family_trials = results.trials[results.trials["number"].isin(family)].set_index("number", drop=False)
    ancestors = drawn[drawn.index.isin(family - set(members))]
    # Of a long search the family is large: the short words then.
    is_long = len(family) > MANY_WORDS
    words = (
        brief(ancestors, y=quality)
        if is_long
        else full(family_trials.loc[ancestors.index], results=results) | {"customdata": ancestors["number"].to_numpy()}
    )
    _add_marks(figure, ancestors, quality, name="ancestors", size=9, color=palette.ACCENT, **words)
    best = drawn.loc[members]
    _add_marks(
        figure, best, quality, name="frontier", size=11, color=palette.ACCENT, suffix="",
        mode="markers+text", text=[f"#{number}" for number in members], textposition="bottom center",
        textfont={"size": 12, "color": palette.ACCENT}, cliponaxis=False,
        **brief(best, y=quality)
        if is_long
        else full(family_trials.loc[members], results=results) | {"customdata": best["number"].to_numpy()},
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
    places = drawn.loc[[number for link in links for number in link]]
    figure.add_scatter(
        x=_with_gaps(places["position"]),
        y=_with_gaps(places[quality.column]),
        mode="lines",
        line={"width": 1.6, "color": palette.ACCENT},
        opacity=0.55,
        name="parent to child",
        hoverinfo="skip",
    )


def _with_gaps(values: "pd.Series[float]") -> NDArray[np.float32]:
    """Return coordinates of pairs with a gap after each pair."""
    pairs = compact(values.astype("float64")).reshape(-1, 2)
    return np.column_stack([pairs, np.full(len(pairs), np.nan, dtype=np.float32)]).ravel()


def _add_others(figure: go.Figure, rows: pd.DataFrame, quality: Objective) -> None:
    """Draw the candidates that led to no member, one trace a symbol: many marks draw fast only where they are alike."""
    is_crowd = len(rows) > MANY
    symbols = rows["origin"].map(SYMBOLS)
    add = figure.add_scattergl if is_crowd else figure.add_scatter
    for index, symbol in enumerate(symbols.drop_duplicates().sort_values().tolist()):
        same = rows[symbols == symbol]
        add(
            x=same["position"].to_numpy(),
            y=compact(same[quality.column]),
            mode="markers",
            name="other candidates",
            legendgroup="others",
            showlegend=index == 0,
            marker={
                "symbol": f"{symbol}-open",
                "size": 4 if is_crowd else 6.5,
                "color": palette.FAINT,
                "line": {"width": 1.4, "color": palette.FAINT},
            },
            **brief(same, y=quality),
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
