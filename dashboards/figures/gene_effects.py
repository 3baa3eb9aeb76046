"""How scores differ along each gene among candidates of like cost: medians and 80 % bands, the strongest gene first."""

import math
from typing import Any, Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.association import Association, Effect
from dashboards.figures.theme import new_figure, say_instead
from dashboards.text import hover_text, number, percent

COLUMNS: Final = 4
MAX_GENES: Final = 12
_ROW: Final = 236
_PLOT: Final = 132
"""Pixels of a row of small plots, and of the axes in it."""

_HEAD: Final = 44
"""Pixels of the words over each small plot."""

_LONG: Final = 6
_MANY: Final = 6
"""Letters of a range that find room under a small plot, two less where there are many ranges."""

_GAP: Final = 0.055
"""Between columns, as a share of the width."""


def gene_effects_figure(found: Association | None) -> go.Figure:
    """Draw the strongest genes; nothing is found where candidates are too few."""
    if found is None:
        return say_instead(new_figure(height=200), "Too few candidates have finished to tell genes apart.")
    effects = found.effects[:MAX_GENES]
    if not effects:
        return say_instead(new_figure(height=200), "All candidates have the same genes.")
    num_rows = math.ceil(len(effects) / COLUMNS)
    top, bottom = 4, 0
    figure = new_figure(height=top + bottom + _ROW * num_rows)
    inner = _ROW * num_rows
    scale = 100 if found.is_relative else 1
    ends = [
        scale * value
        for effect in effects
        for one in effect.bins
        for value in (one.low, one.high, one.median)
        if value is not None
    ]
    room = 0.06 * (max(ends) - min(ends)) or 1.0
    width = (1 - _GAP * (COLUMNS - 1)) / COLUMNS
    # All of the layout at once: Plotly checks every annotation anew with each one that is added.
    layout: dict[str, Any] = {"annotations": [], "shapes": []}
    for place, effect in enumerate(effects):
        row, column = divmod(place, COLUMNS)
        name = "" if place == 0 else str(place + 1)
        left = column * (width + _GAP)
        ceiling = 1 - (row * _ROW + _HEAD) / inner
        _add_effect(figure, effect, name=name, found=found)
        layout[f"xaxis{name}"] = _across(effect) | {"domain": [left, left + width], "anchor": f"y{name}"}
        layout[f"yaxis{name}"] = {
            "domain": [ceiling - _PLOT / inner, ceiling],
            "anchor": f"x{name}",
            "range": [min([*ends, 0.0]) - room, max([*ends, 0.0]) + room],
            "fixedrange": True,
            "nticks": 5,
            "tickfont": {"size": 11},
            "ticksuffix": " %" if found.is_relative else "",
            "showticklabels": column == 0,
            "automargin": False,
        }
        layout["annotations"].append(_title(effect, x=left, y=ceiling))
        layout["shapes"].append(_usual(name))
    figure.update_layout(
        **layout,
        margin={"l": 56, "r": 12, "t": top, "b": bottom},
        showlegend=False,
        uirevision=",".join(effect.gene for effect in effects),
    )
    return figure


def _usual(name: str) -> dict[str, Any]:
    """Return the line of candidates that score as is usual."""
    return {
        "type": "line",
        "xref": f"x{name} domain",
        "yref": f"y{name}",
        "x0": 0,
        "x1": 1,
        "y0": 0,
        "y1": 0,
        "line": {"color": palette.MUTED, "width": 1.2, "dash": "dot"},
        "layer": "below",
    }


def _add_effect(figure: go.Figure, effect: Effect, *, name: str, found: Association) -> None:
    scale = 100 if found.is_relative else 1
    unit = " %" if found.is_relative else ""
    axes = {"xaxis": f"x{name}", "yaxis": f"y{name}"}
    is_strong = effect.probability <= 0.05
    colour = palette.ACCENT if is_strong else palette.MARK
    banded = [(place, one) for place, one in enumerate(effect.bins) if one.low is not None and one.high is not None]
    figure.add_bar(
        x=[place for place, _ in banded],
        base=[scale * (one.low or 0.0) for _, one in banded],
        y=[scale * ((one.high or 0.0) - (one.low or 0.0)) for _, one in banded],
        width=0.66,
        marker={"color": palette.ACCENT_SOFT if is_strong else palette.RULE, "line": {"width": 0}},
        name="80 % of the candidates",
        hoverinfo="skip",
        **axes,
    )
    figure.add_scatter(
        x=list(range(len(effect.bins))),
        y=[scale * one.median for one in effect.bins],
        mode="lines+markers",
        line={"color": colour, "width": 1.8, "dash": "solid" if is_strong else "dot"},
        marker={
            "color": colour,
            "symbol": "diamond" if is_strong else "circle-open",
            "size": 8,
            "line": {"width": 1.2, "color": palette.SURFACE if is_strong else colour},
        },
        name=hover_text(effect.label),
        hovertext=[
            f"<b>{hover_text(effect.label)} {hover_text(one.label)}</b><br>"
            f"median {signed(scale * one.median)}{unit} of {one.num_candidates} candidates"
            + (
                ""
                if one.low is None or one.high is None
                else f"<br>80 % in {signed(scale * one.low)} to {signed(scale * one.high)}{unit}"
            )
            for one in effect.bins
        ],
        hoverinfo="text",
        cliponaxis=False,
        **axes,
    )


def signed(value: float) -> str:
    """Return a difference with its sign: three significant digits are plenty."""
    text = f"{abs(value):.{1 if abs(value) >= 0.95 else 2}f}" if abs(value) < 100 else number(abs(value))
    return f"−{text}" if value < 0 else f"+{text}"


def _across(effect: Effect) -> dict[str, Any]:
    # Long ranges would touch each other: their ends stand below each other.
    most = _LONG if len(effect.bins) < _MANY else _LONG - 2
    labels = [
        hover_text(one.label, width=18, max_lines=1).replace("–", "–<br>" if len(one.label) > most else "–")
        for one in effect.bins
    ]
    return {
        "range": [-0.6, len(labels) - 0.4],
        "fixedrange": True,
        "tickvals": list(range(len(labels))),
        "ticktext": labels,
        **({"tickangle": 0} if any("<br>" in label for label in labels) else {"autotickangles": [0, -35]}),
        "tickfont": {"size": 11},
        "showgrid": False,
        "automargin": False,
    }


def _title(effect: Effect, *, x: float, y: float) -> dict[str, Any]:
    label = hover_text(effect.label[:1].upper() + effect.label[1:], width=34, max_lines=1)
    verdict = f"explains {percent(effect.share)}" if effect.probability <= 0.05 else "no more than chance"
    return {
        "text": f"<b>{label}</b><br><span style='color:{palette.MUTED}'>{verdict}</span>",
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "align": "left",
        "yanchor": "bottom",
        "yshift": 6,
        "showarrow": False,
        "font": {"size": 13, "color": palette.INK},
    }
