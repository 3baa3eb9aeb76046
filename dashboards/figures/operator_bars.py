"""Latency split by kind of operator, one stacked bar a candidate, with the least the bandwidth allows under it.

For few candidates looked at closely; the whole frontier is in `breakdown.py`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.operator_fill import operator_fill, operator_outline
from dashboards.figures.theme import new_figure, say_instead
from dashboards.operators_style import drawing_order, style_of
from dashboards.text import hover_text, is_missing, number

BAR_HEIGHT: Final = 0.56
FLOOR_HEIGHT: Final = 0.22
ROW_PIXELS: Final = 84

MANY_TIMES: Final = 3
"""From here on a time is told as a multiple of its floor; 300 % above is harder to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorBar:
    """What is drawn of one candidate."""

    trial: int
    latency_ms: Mapping[str, float]
    """By operator name; empty where it is not known."""

    floor_ms: Mapping[str, float] = field(default_factory=dict)
    """By operator name; empty where it is not known."""

    measured_ms: float | None = None
    """Of the whole model; none where it was not timed."""

    @property
    def total_ms(self) -> float:
        """Predicted latency."""
        return sum(self.latency_ms.values())

    @property
    def floor_total_ms(self) -> float:
        """The least the bandwidth allows."""
        return sum(self.floor_ms.values())


def floor_words(bar: OperatorBar) -> str:
    """Return how far the latency is from its floor; empty where the floor is not known."""
    if not bar.floor_total_ms or not bar.latency_ms:
        return ""
    return (
        f"{against_floor(bar.total_ms, bar.floor_total_ms)} the floor: {number(bar.total_ms)} ms predicted, "
        f"{number(bar.floor_total_ms)} ms is the least that the memory's bandwidth allows"
    )


def against_floor(value: float, floor: float) -> str:
    """Return where a time stands, to go on with `the floor`: `28 % above` or `4.2 times`; empty for a floor of 0."""
    if not floor or not math.isfinite(value / floor):
        return ""
    ratio = value / floor
    if ratio >= MANY_TIMES:
        return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:,.0f} times"
    return f"{abs(ratio - 1):.0%}".replace("%", " %") + (" below" if ratio < 1 else " above")


def operator_bars_figure(bars: Sequence[OperatorBar]) -> go.Figure:
    """Draw the bars on one axis, in the order given."""
    drawn = [bar for bar in bars if bar.latency_ms]
    if not drawn:
        words = "No latency was predicted from measured operators."
        return say_instead(new_figure(height=160), words)
    figure = new_figure(height=100 + ROW_PIXELS * len(drawn))
    names = sorted({name for bar in drawn for name in (*bar.latency_ms, *bar.floor_ms)}, key=drawing_order)
    for name in names:
        _add_parts(figure, name, drawn, is_floor=False)
        _add_parts(figure, name, drawn, is_floor=True)
    longest = max(max(bar.total_ms, bar.floor_total_ms, bar.measured_ms or 0.0) for bar in drawn)
    _add_measured(figure, drawn)
    for row, bar in enumerate(drawn):
        _say_total(figure, bar.total_ms, y=float(row), words=f"<b>{number(bar.total_ms)} ms</b>")
        if bar.floor_total_ms:
            words = f"{number(bar.floor_total_ms)} ms at least"
            _say_total(figure, bar.floor_total_ms, y=_floor_place(row), words=words)
    figure.update_layout(
        barmode="stack",
        uniformtext={"mode": "hide", "minsize": 11},
        legend={"traceorder": "normal"},
        margin={"l": 24, "r": 24, "t": 40, "b": 48},
        xaxis={
            "title": {"text": "Latency (ms)"},
            "range": [0, longest * 1.13 or 1],
        },
        yaxis={
            "range": [len(drawn) - 0.42, -0.42],
            "fixedrange": True,
            "showgrid": False,
            "ticks": "",
            "tickvals": [place for row in range(len(drawn)) for place in (row, _floor_place(row))],
            "ticktext": [text for bar in drawn for text in (f"<b>#{bar.trial}</b> ", "floor " if bar.floor_ms else "")],
            "tickfont": {"color": palette.INK, "size": 12.5},
        },
        uirevision=",".join(str(bar.trial) for bar in drawn),
    )
    return figure


def _floor_place(row: int) -> float:
    return row + BAR_HEIGHT / 2 + FLOOR_HEIGHT / 2 + 0.03


def _add_parts(figure: go.Figure, name: str, bars: Sequence[OperatorBar], *, is_floor: bool) -> None:
    style = style_of(name)
    parts = [bar.floor_ms if is_floor else bar.latency_ms for bar in bars]
    if not any(name in part for part in parts):
        return
    values = [part.get(name, 0.0) for part in parts]
    attributes: dict[str, Any] = {}
    if not is_floor:
        label = hover_text(style.label)
        shares = [value / bar.total_ms if bar.total_ms else 0.0 for value, bar in zip(values, bars, strict=True)]
        attributes = {
            "text": [f"{label} {share:.0%}" for share in shares],
            "textposition": "inside",
            "insidetextanchor": "middle",
            "textangle": 0,
            "textfont": {"color": style.ink, "size": 12},
        }
    figure.add_bar(
        x=values,
        y=[_floor_place(row) if is_floor else row for row in range(len(bars))],
        width=FLOOR_HEIGHT if is_floor else BAR_HEIGHT,
        orientation="h",
        name=hover_text(style.label),
        legendgroup=name,
        showlegend=not is_floor,
        marker=operator_outline(style) if is_floor else operator_fill(style, opacity=0.2),
        customdata=[bar.trial for bar in bars],
        hovertext=[_hover(bar, name) for bar in bars],
        hoverinfo="text",
        **attributes,
    )


def _hover(bar: OperatorBar, name: str) -> str:
    value = bar.latency_ms.get(name, 0.0)
    share = f", {value / bar.total_ms:.0%} of {number(bar.total_ms)} ms" if bar.total_ms else ""
    lines = [f"<b>#{bar.trial}</b> {hover_text(style_of(name).label)}", f"{number(value)} ms{share}"]
    floor = bar.floor_ms.get(name)
    if floor is not None:
        against = against_floor(value, floor)
        lines.append(f"floor {number(floor)} ms" + (f": {against} it" if against else ""))
    return "<br>".join(lines)


def _add_measured(figure: go.Figure, bars: Sequence[OperatorBar]) -> None:
    timed = [(row, bar) for row, bar in enumerate(bars) if not is_missing(bar.measured_ms)]
    if not timed:
        return
    figure.add_scatter(
        x=[bar.measured_ms for _, bar in timed],
        y=[row for row, _ in timed],
        mode="markers",
        name="measured, the whole model",
        marker={
            "symbol": "line-ns",
            "size": ROW_PIXELS * BAR_HEIGHT * 0.8,  # such a line is 1.4 times as long as its size
            "color": palette.INK,
            "line": {"color": palette.INK, "width": 2.5},
        },
        customdata=[bar.trial for _, bar in timed],
        hovertext=[f"<b>#{bar.trial}</b> measured whole: {number(bar.measured_ms)} ms" for _, bar in timed],
        hoverinfo="text",
    )


def _say_total(figure: go.Figure, x: float, *, y: float, words: str) -> None:
    figure.add_annotation(
        x=x,
        y=y,
        text=words,
        xanchor="left",
        xshift=10,
        showarrow=False,
        bgcolor=palette.SURFACE,
        borderpad=1,
        font={"size": 12.5, "color": palette.INK},
    )
