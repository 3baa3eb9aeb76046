"""The trade-off: first objective against the second, the frontier as steps, and what did not make it.

Candidates without a value of the first objective (failed, or refused before they were evaluated) keep their second one:
they stand in a strip above the plane instead of vanishing.
"""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.hover import brief, compact, full
from dashboards.figures.marks import ORIGIN_GROUPS, SYMBOLS
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Objective, Results
from dashboards.selection import candidates, frontier, with_status
from dashboards.text import hover_text

STRIP_FROM = 0.9
"""Where the strip of candidates without a score begins, as a share of the height."""

MAX_DESCRIBED = 1000
"""Dominated candidates of one origin that get a full description; more get a brief one, to keep the page small."""

FARTHEST_LIMIT = 1.25
"""A limit beyond this multiple of the dearest candidate is left out: it would press the candidates into a corner."""


def pareto_figure(results: Results) -> go.Figure:
    """Draw the candidates over the first two objectives; over the order of finishing where there is only one."""
    figure = new_figure(height=520)
    if len(results.objectives) == 1:
        return _single_objective(figure, results)
    across, up = results.objectives[1], results.objectives[0]
    everyone = candidates(results)
    placed = everyone[everyone[across.column].notna()]
    if placed.empty:
        return say_instead(figure, "No candidate has finished yet.")
    scored = placed[placed[up.column].notna() & (placed["status"] != "running")]
    strip = placed[placed[up.column].isna() & placed["status"].isin(["failed", "infeasible"])]

    _add_scored(figure, scored[scored["status"] != "infeasible"], results)
    _add_crosses(figure, scored[scored["status"] == "infeasible"], results, axis="y", name="over a limit")
    _add_stopped(figure, placed[(placed["status"] == "stopped") & placed["expected"].notna()], results)
    _add_frontier(figure, results)
    _add_strip(figure, strip, results)
    _add_missing(figure, results)
    _add_limit(figure, across, results)

    figure.update_layout(
        xaxis={"title": {"text": across.title}, "type": "log" if across.log else "linear", "anchor": "y"},
        yaxis={
            "title": {"text": up.title},
            "type": "log" if up.log else "linear",
            "domain": [0, STRIP_FROM - 0.02 if len(strip) else 1],
        },
        margin={"l": 72, "r": 24, "t": 56, "b": 56},
        showlegend=True,
    )
    if scored.empty:
        return _strip_alone(figure)
    figure.add_annotation(
        text="better ↙",
        x=0.008,
        y=0.015,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        showarrow=False,
        font={"size": 13, "color": palette.MUTED},
    )
    return figure


def _add_scored(figure: go.Figure, rows: pd.DataFrame, results: Results) -> None:
    up, across = results.objectives[:2]
    dominated = rows[~rows["is_frontier"].astype(bool)]
    for label, origins in ORIGIN_GROUPS.items():
        group = dominated[dominated["origin"].isin(origins)]
        if group.empty:
            continue
        is_long = len(group) > MAX_DESCRIBED
        figure.add_scatter(
            x=compact(group[across.column]),
            y=compact(group[up.column]),
            mode="markers",
            name=label,
            legendgroup=label,
            marker={
                "symbol": f"{SYMBOLS[origins[0]]}-open",
                "size": 5 if is_long else 9 if label == "evolved" else 8,
                "color": palette.MARK,
                "opacity": 0.5 if is_long else 1,
                "line": {"width": 1 if is_long else 1.4},
            },
            **(brief(group, y=up, x=across) if is_long else full(group, results=results)),
        )


def _add_frontier(figure: go.Figure, results: Results) -> None:
    rows = frontier(results)
    if rows.empty:
        return
    up, across = results.objectives[:2]
    x = rows[across.column].astype(float).tolist()
    y = rows[up.column].astype(float).tolist()
    # With a third objective the frontier is no line in this plane.
    if len(results.objectives) == 2:
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"shape": "hv", "width": 2, "color": palette.ACCENT},
            hoverinfo="skip",
            name="frontier",
        )
    dominated = with_status(results, "finished")
    dominated = dominated[~dominated["is_frontier"].astype(bool)]
    dominated_origins = {label for label, origins in ORIGIN_GROUPS.items() if dominated["origin"].isin(origins).any()}
    labels = _spaced_labels(x, y, rows["number"].tolist())
    for label, origins in ORIGIN_GROUPS.items():
        chosen = [index for index, origin in enumerate(rows["origin"]) if origin in origins]
        if not chosen:
            continue
        group = rows.iloc[chosen]
        figure.add_scatter(
            x=[x[index] for index in chosen],
            y=[y[index] for index in chosen],
            mode="markers+text",
            name=label,
            legendgroup=label,
            showlegend=label not in dominated_origins,
            text=[labels[index] for index in chosen],
            textposition="bottom left",
            textfont={"size": 12, "color": palette.ACCENT},
            cliponaxis=False,
            marker={
                "symbol": SYMBOLS[origins[0]],
                "size": 12 if label == "evolved" else 11,
                "color": palette.ACCENT,
                "line": {"width": 1.5, "color": palette.SURFACE},
            },
            **full(group, results=results),
        )


def _spaced_labels(x: list[float], y: list[float], numbers: list[int]) -> list[str]:
    """Return labels, leaving out those that would lie on the one before."""
    width = max(x) - min(x) or 1.0
    height = max(y) - min(y) or 1.0
    labels: list[str] = []
    last: tuple[float, float] | None = None
    for across, up, trial in zip(x, y, numbers, strict=True):
        place = ((across - min(x)) / width, (up - min(y)) / height)
        if last is None or abs(place[0] - last[0]) > 0.06 or abs(place[1] - last[1]) > 0.055:
            labels.append(f"#{trial}")
            last = place
        else:
            labels.append("")
    return labels


def _add_stopped(figure: go.Figure, rows: pd.DataFrame, results: Results) -> None:
    """Draw what was stopped early where it would likely have ended."""
    if rows.empty:
        return
    figure.add_scatter(
        x=compact(rows[results.objectives[1].column]),
        y=compact(rows["expected"]),
        mode="markers",
        name="stopped early, as expected",
        marker={"symbol": "triangle-down-open", "size": 7, "color": palette.FAINT, "line": {"width": 1.4}},
        **full(rows, results=results),
    )


def _add_crosses(figure: go.Figure, rows: pd.DataFrame, results: Results, *, axis: str, name: str) -> None:
    if rows.empty:
        return
    up, across = results.objectives[:2]
    figure.add_scatter(
        x=rows[across.column].astype(float).tolist(),
        y=rows[up.column].astype(float).tolist() if axis == "y" else [0.0] * len(rows),
        yaxis=axis,
        mode="markers",
        name=name,
        marker={"symbol": "line-ns-open", "size": 10, "color": palette.FAINT, "line": {"width": 2}},
        **full(rows, results=results),
    )


def _add_strip(figure: go.Figure, rows: pd.DataFrame, results: Results) -> None:
    """Draw what has no score in a strip above the plane, with a second vertical axis of its own."""
    if rows.empty:
        return
    across = results.objectives[1]
    _add_crosses(figure, rows[rows["status"] == "infeasible"], results, axis="y2", name="over a limit, not evaluated")
    failed = rows[rows["status"] == "failed"]
    if not failed.empty:
        figure.add_scatter(
            x=failed[across.column].astype(float).tolist(),
            y=[0.0] * len(failed),
            yaxis="y2",
            mode="markers",
            name="failed",
            marker={"symbol": "x-thin-open", "size": 9, "color": palette.FAILURE, "line": {"width": 2}},
            **full(failed, results=results),
        )
    figure.update_layout(
        yaxis2={
            "domain": [STRIP_FROM, 1],
            "range": [-1, 1],
            "fixedrange": True,
            "anchor": "x",
            "showgrid": False,
            "tickvals": [0],
            "ticktext": ["none"],
        }
    )
    figure.add_shape(
        type="rect",
        xref="paper",
        yref="paper",
        x0=0,
        x1=1,
        y0=STRIP_FROM,
        y1=1,
        fillcolor=palette.PAGE,
        line={"width": 0},
        layer="below",
    )


def _strip_alone(figure: go.Figure) -> go.Figure:
    """Give the strip the whole figure where it is all there is, made low."""
    figure.update_layout(height=210, yaxis2={"domain": [0, 1]})
    figure.update_shapes(y0=0, selector={"type": "rect"})
    return figure


def _add_missing(figure: go.Figure, results: Results) -> None:
    """Say how many candidates have no place in the plane at all."""
    across = results.objectives[1]
    num_missing = int(with_status(results, "failed")[across.column].isna().sum())
    if num_missing:
        figure.add_annotation(
            text=f"{num_missing} failed before {hover_text(across.label.lower())} was known: see the table",
            x=1,
            y=0,
            yshift=-38,
            xref="paper",
            yref="paper",
            xanchor="right",
            yanchor="top",
            showarrow=False,
            font={"size": 12, "color": palette.MUTED},
        )


def _add_limit(figure: go.Figure, across: Objective, results: Results) -> None:
    if across.column not in results.limits:
        return
    limit = float(results.limits[across.column])
    if limit > FARTHEST_LIMIT * float(candidates(results)[across.column].max()):
        return
    figure.add_vline(x=limit, line={"color": palette.MUTED, "width": 1.2, "dash": "dot"}, layer="below")
    figure.add_annotation(
        text=f"limit {limit:g} {across.unit}".rstrip(),
        x=limit,
        y=0.99,
        yref="y domain",
        xanchor="left",
        yanchor="top",
        xshift=4,
        showarrow=False,
        font={"size": 12, "color": palette.MUTED},
    )


def _single_objective(figure: go.Figure, results: Results) -> go.Figure:
    only = results.objectives[0]
    rows = with_status(results, "finished").sort_values("finish_index")
    if rows.empty:
        return say_instead(figure, "No candidate has finished yet.")
    best: Any = rows["is_frontier"].astype(bool)
    for name, group, colour in (("candidate", rows[~best], palette.FAINT), ("best", rows[best], palette.ACCENT)):
        figure.add_scatter(
            x=group["finish_index"].astype(int).tolist(),
            y=group[only.column].astype(float).tolist(),
            mode="markers",
            name=name,
            marker={"symbol": [SYMBOLS[origin] for origin in group["origin"]], "size": 9, "color": colour},
            **full(group, results=results),
        )
    figure.update_xaxes(title={"text": "Order of finishing"})
    figure.update_yaxes(title={"text": only.title}, type="log" if only.log else "linear")
    return figure
