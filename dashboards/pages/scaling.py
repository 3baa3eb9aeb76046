"""A scaling law as pictures: perplexity against latency with a curve for every depth, and predicted against measured.

A page of its own, written where a law is fitted; what was fitted and how was decided there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.elements import Element, Graph, element
from dashboards.figures.equality import add_equality
from dashboards.figures.log_axis import log_axis
from dashboards.figures.theme import new_figure
from dashboards.standalone import standalone_html, write_page
from dashboards.text import count, number

SYMBOLS: Final = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "star",
    "hexagon",
    "triangle-down",
    "x",
    "bowtie",
)
"""By depth, so that depth never rests on colour alone."""

DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")

PAPER_ERROR: Final = 0.053
"""Half the width of the band around equality: the largest error the paper reports on larger unseen settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPoint:
    """One setting, measured and predicted."""

    depth: int
    width: int
    num_parameters: int
    latency_ms: float | None
    measured: float
    predicted: float
    is_held_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthCurve:
    """What the law says of one depth along its widths."""

    depth: int
    widths: Sequence[int]
    latencies_ms: Sequence[float]
    perplexities: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the law takes at one latency budget."""

    budget_ms: float
    depth: int
    width: int
    latency_ms: float
    perplexity: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPicture:
    """A fitted law with the words that go with it."""

    title: str
    subject: str
    """What was trained and on which device it is priced."""

    law: str
    findings: Sequence[str]
    caveats: Sequence[str]
    points: Sequence[DrawnPoint]
    curves: Sequence[DepthCurve]
    """None where the settings cannot be priced by depth and width alone."""

    choices: Sequence[Choice]
    """By budget, ascending."""


def write_scaling_page(picture: ScalingPicture, path: Path) -> None:
    """Write the page to `path`; a reader sees the old file or the new one."""
    write_page(scaling_html(picture), path)


def scaling_html(picture: ScalingPicture) -> str:
    """Return the page as text."""
    caveats = (
        [element("ul", *(element("li", caveat) for caveat in picture.caveats), class_="caveats")]
        if picture.caveats
        else []
    )
    tree = element(
        "div",
        element("header", element("h1", picture.title), element("p", picture.subject, class_="explanation")),
        element(
            "main",
            element(
                "section",
                element("h2", "The law"),
                element("p", picture.law, class_="verdict"),
                element("ul", *(element("li", finding) for finding in picture.findings)),
                *caveats,
                class_="whole",
            ),
            element(
                "section",
                element("h2", "Perplexity against latency"),
                element(
                    "p",
                    "Curves are the law at one depth over widths, marks what was trained; hollow marks were held out. "
                    "The line of steps is the least perplexity predicted at every latency.",
                    class_="explanation",
                ),
                Graph(
                    name="scaling",
                    figure=latency_figure(picture),
                    label="Measured and predicted perplexity against latency, one curve for every depth.",
                ),
                class_="whole",
            ),
            element(
                "section",
                element("h2", "Predicted against measured"),
                element(
                    "p",
                    f"By the law fitted without the held-out settings. The band is ±{100 * PAPER_ERROR:.1f} %, the "
                    "largest error the paper reports on larger unseen settings.",
                    class_="explanation",
                ),
                Graph(
                    name="agreement",
                    figure=agreement_figure(picture),
                    label=f"Predicted against measured perplexity of {len(picture.points)} settings.",
                ),
                _table(picture.points),
                class_="whole",
            ),
        ),
        class_="page",
    )
    return standalone_html(tree, title=picture.title)


def latency_figure(picture: ScalingPicture) -> go.Figure:
    """Draw perplexity against latency, both logarithmic."""
    figure = new_figure(height=560)
    looks = _looks(picture)
    for curve in picture.curves:
        colour, _, dash = looks[curve.depth]
        figure.add_scatter(
            x=list(curve.latencies_ms),
            y=list(curve.perplexities),
            mode="lines",
            line={"color": colour, "width": 1.8, "dash": dash},
            name=f"depth {curve.depth}",
            legendgroup=f"depth {curve.depth}",
            # A depth that was trained is in the legend with its marks.
            showlegend=not any(point.depth == curve.depth for point in picture.points),
            customdata=list(curve.widths),
            hovertemplate=f"law at depth {curve.depth}, width %{{customdata}}<br>"
            "%{x:.4~g} ms, perplexity %{y:.4~g}<extra></extra>",
        )
    if picture.choices:
        figure.add_scatter(
            x=[choice.budget_ms for choice in picture.choices],
            y=[choice.perplexity for choice in picture.choices],
            mode="lines",
            line={"color": palette.ACCENT, "width": 3.5, "shape": "hv"},
            opacity=0.45,
            name="least predicted",
            customdata=[[choice.depth, choice.width, choice.low, choice.high] for choice in picture.choices],
            hovertemplate="within %{x:.4~g} ms: <b>depth %{customdata[0]}, width %{customdata[1]}</b><br>"
            "perplexity %{y:.4~g}, %{customdata[2]:.4~g} to %{customdata[3]:.4~g}<extra></extra>",
        )
    _add_points(figure, picture, looks=looks)
    latencies = [point.latency_ms for point in picture.points if point.latency_ms is not None]
    latencies += [time for curve in picture.curves for time in curve.latencies_ms]
    figure.update_layout(
        xaxis={"title": {"text": "Predicted latency, ms"}, **log_axis(latencies)},
        yaxis={"title": {"text": "Perplexity"}, **log_axis([point.measured for point in picture.points])},
        margin={"l": 72, "r": 24, "t": 72, "b": 56},
    )
    return figure


def agreement_figure(picture: ScalingPicture) -> go.Figure:
    """Draw predicted against measured perplexity."""
    figure = new_figure(height=520)
    values = [value for point in picture.points for value in (point.measured, point.predicted)]
    ends = (min(values) * 0.98, max(values) * 1.02)
    add_equality(figure, ends=ends, band=PAPER_ERROR, name=f"within {100 * PAPER_ERROR:.1f} %")
    looks = _looks(picture)
    for is_held_out, name in ((False, "fitted"), (True, "held out")):
        group = [point for point in picture.points if point.is_held_out == is_held_out]
        if not group:
            continue
        figure.add_scatter(
            x=[point.measured for point in group],
            y=[point.predicted for point in group],
            mode="markers",
            name=name,
            marker=_markers([looks[point.depth] for point in group], is_held_out=is_held_out),
            customdata=[[_name(point), 100 * (point.predicted / point.measured - 1)] for point in group],
            hovertemplate="<b>%{customdata[0]}</b><br>measured %{x:.4~g}, predicted %{y:.4~g}"
            "<br>error %{customdata[1]:+.1f} %<extra></extra>",
        )
    axis = log_axis(values)
    figure.update_layout(
        xaxis={**axis, "title": {"text": "Measured perplexity"}},
        yaxis={**axis, "title": {"text": "Predicted perplexity"}},
    )
    return figure


_Look = tuple[str, str, str]
"""Colour, symbol and dash of a depth."""


def _looks(picture: ScalingPicture) -> dict[int, _Look]:
    depths = sorted({point.depth for point in picture.points} | {curve.depth for curve in picture.curves})
    colours = palette.ramp(len(depths))
    return {
        depth: (colour, SYMBOLS[index % len(SYMBOLS)], DASHES[index % len(DASHES)])
        for index, (depth, colour) in enumerate(zip(depths, colours, strict=True))
    }


def _markers(looks: Sequence[_Look], *, is_held_out: bool) -> dict[str, object]:
    return {
        "symbol": [f"{symbol}-open" if is_held_out else symbol for _, symbol, _ in looks],
        "color": [colour for colour, _, _ in looks],
        "size": 11 if is_held_out else 10,
        "line": {"width": 2.4 if is_held_out else 1, **({} if is_held_out else {"color": palette.SURFACE})},
    }


def _add_points(figure: go.Figure, picture: ScalingPicture, *, looks: dict[int, _Look]) -> None:
    priced = [point for point in picture.points if point.latency_ms is not None]
    named = set()
    for depth, is_held_out in sorted({(point.depth, point.is_held_out) for point in priced}):
        group = [point for point in priced if (point.depth, point.is_held_out) == (depth, is_held_out)]
        figure.add_scatter(
            x=[point.latency_ms for point in group],
            y=[point.measured for point in group],
            mode="markers",
            name=f"depth {depth}",
            legendgroup=f"depth {depth}",
            showlegend=depth not in named,
            marker=_markers([looks[depth]] * len(group), is_held_out=is_held_out),
            hovertext=[
                f"<b>{_name(point)}</b>{', held out' if is_held_out else ''}"
                f"<br>{count(point.num_parameters)} parameters<br>{number(point.latency_ms)} ms"
                f"<br>perplexity {number(point.measured)}, predicted {number(point.predicted)}"
                for point in group
            ],
            hoverinfo="text",
        )
        named.add(depth)


def _name(point: DrawnPoint) -> str:
    return f"depth {point.depth}, width {point.width}"


def _table(points: Sequence[DrawnPoint]) -> Element:
    headings = ("Depth", "Width", "Parameters", "Latency, ms", "Perplexity", "Predicted", "Error, %", "Held out")
    kinds = ("number",) * 7 + ("word",)
    head = element(
        "tr",
        *(
            element("th", element("button", title, type="button"), scope="col", class_=kind)
            for title, kind in zip(headings, kinds, strict=True)
        ),
    )
    rows = []
    for point in points:
        error = 100 * (point.predicted / point.measured - 1)
        cells = (
            (str(point.depth), point.depth),
            (str(point.width), point.width),
            (count(point.num_parameters), point.num_parameters),
            (number(point.latency_ms), point.latency_ms if point.latency_ms is not None else ""),
            (number(point.measured), point.measured),
            (number(point.predicted), point.predicted),
            (f"{error:+.1f}".replace("-", "−"), error),
        )
        rows.append(
            element(
                "tr",
                *(element("td", text, class_="number", data_sort=str(value)) for text, value in cells),
                element("td", "yes" if point.is_held_out else "", class_="word"),
            )
        )
    table = element("table", element("thead", head), element("tbody", *rows), class_="sortable")
    return element("div", table, class_="table-frame", tabindex="0", role="region", aria_label="All settings")
