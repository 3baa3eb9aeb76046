"""What the frontier is made of, cheap to dear: the share of each kind of operator, and of the latency it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.genes import operator_counts
from dashboards.analysis.selection import frontier, records
from dashboards.analysis.trial_parts import readable_latency
from dashboards.figures.operator_fill import operator_fill
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Objective, Results
from dashboards.operators_style import drawing_order, style_of
from dashboards.text import common_decimals, hover_text, is_missing, number, percent

MAX_ROWS: Final = 24
"""Members of the frontier that are drawn; of a longer one these are spread evenly from cheap to dear."""

_WRITTEN_FROM: Final = 0.055
"""Least share that carries its letter."""

_TICKS: Final = {"tickvals": [0, 0.25, 0.5, 0.75, 1], "ticktext": ["0", "25 %", "50 %", "75 %", "100 %"]}

_LEFT: Final = (0.0, 0.475)
_RIGHT: Final = (0.525, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    trial: int
    label: str
    counts: Mapping[str, float]
    latency_ms: Mapping[str, float]


def operator_mix_figure(results: Results) -> go.Figure:
    """Draw two stacked bars a member of the frontier: its operators, and the latency of each kind."""
    members = frontier(results)
    cost = results.objectives[:2][-1]
    decimals = common_decimals(members[cost.column])
    rows = [_row(row, cost, decimals) for row in records(members)]
    rows = [row for row in rows if row.counts]
    if not rows:
        return say_instead(new_figure(height=200), "The frontier holds no architecture whose operators can be counted.")
    num_all = len(rows)
    if num_all > MAX_ROWS:
        rows = [rows[place] for place in np.linspace(0, num_all - 1, MAX_ROWS).round().astype(int)]
    figure = new_figure(height=116 + 30 * len(rows))
    has_latency = any(row.latency_ms for row in rows)
    names = sorted({name for row in rows for name in (*row.counts, *row.latency_ms)}, key=drawing_order)
    for name in names:
        counted = any(name in row.counts for row in rows)
        if counted:
            _add_bars(figure, name, rows, [row.counts for row in rows], side="", is_keyed=True)
        if has_latency:
            _add_bars(figure, name, rows, [row.latency_ms for row in rows], side="2", is_keyed=not counted)
    share: dict[str, Any] = {"range": [0, 1], "fixedrange": True, "showgrid": False, **_TICKS}
    figure.update_layout(
        barmode="stack",
        bargap=0.22,
        legend={"traceorder": "normal"},
        margin={"l": 24, "r": 24, "t": 56, "b": 52},
        uniformtext={"mode": "hide", "minsize": 10},
        xaxis={**share, "domain": list(_LEFT if has_latency else (0, 1)), "title": {"text": "Share of the operators"}},
        yaxis={
            "range": [len(rows) - 0.5, -0.5],
            "fixedrange": True,
            "showgrid": False,
            "ticks": "",
            "tickvals": list(range(len(rows))),
            "ticktext": [row.label for row in rows],
            "tickfont": {"color": palette.INK, "size": 12.5},
        },
        uirevision=",".join(str(row.trial) for row in rows),
    )
    if has_latency:
        figure.update_layout(
            xaxis2={**share, "domain": list(_RIGHT), "anchor": "y2", "title": {"text": "Share of the latency"}},
            yaxis2={"matches": "y", "anchor": "x2", "showticklabels": False, "showgrid": False, "ticks": ""},
        )
    return figure


def num_left_out(results: Results) -> int:
    """Return how many members of the frontier the figure does not draw because it is long."""
    return max(0, sum(1 for pattern in frontier(results)["pattern"] if operator_counts(pattern)) - MAX_ROWS)


def _row(row: Mapping[str, Any], cost: Objective, decimals: int | None) -> _Row:
    value = row[cost.column]
    words = "" if is_missing(value) else f"  {number(value, decimals=decimals)} {hover_text(cost.unit)}".rstrip()
    return _Row(
        trial=int(row["number"]),
        label=f"<b>#{row['number']}</b>{words} ",
        counts=operator_counts(row["pattern"]),
        latency_ms=readable_latency(row),
    )


def _add_bars(
    figure: go.Figure,
    name: str,
    rows: Sequence[_Row],
    parts: Sequence[Mapping[str, float]],
    *,
    side: str,
    is_keyed: bool,
) -> None:
    """Add one kind's part of every bar; `side` is "" for the left plot and "2" for the right one."""
    style = style_of(name)
    label = hover_text(style.label)
    values = [part.get(name, 0.0) for part in parts]
    if not any(values):
        return
    totals = [sum(part.values()) or 1.0 for part in parts]
    shares = [value / total for value, total in zip(values, totals, strict=True)]
    unit = " ms" if side else ""
    figure.add_bar(
        x=shares,
        y=list(range(len(rows))),
        xaxis=f"x{side}",
        yaxis=f"y{side}",
        orientation="h",
        name=label,
        legendgroup=name,
        showlegend=is_keyed,
        marker=operator_fill(style, opacity=0.28),
        text=[f"<b>{style.letter}</b>" if share >= _WRITTEN_FROM else "" for share in shares],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": style.ink, "size": 11.5},
        customdata=[row.trial for row in rows],
        hovertext=[
            f"<b>#{row.trial}</b> {label}<br>{number(value) if side else f'{value:.0f}'}{unit}, "
            f"{percent(share)} of {number(total) if side else f'{total:.0f} operators'}{unit}"
            for row, value, share, total in zip(rows, values, shares, totals, strict=True)
        ],
        hoverinfo="text",
    )
