"""Published architectures beside the candidates: what the same device makes of models that everybody knows.

They were not trained by the study. One whose place upwards is not known stands in a row under the plane, at its place
to the right; one far from all candidates is named in words, for it would press them into a corner.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.axes import Axis
from dashboards.analysis.plane import Plane, written
from dashboards.figures.pareto_scale import share_within
from dashboards.figures.pareto_strip import add_ground, rows_axis
from dashboards.frame import Reference
from dashboards.text import hover_text

NUM_ROWS: Final = 3
"""Rows of names; what finds no room in any is named on hover alone."""

LETTER_WIDTH: Final = 0.0085
"""Share of the width that a letter of a name takes, where the picture is narrow."""

STAR_WIDTH: Final = 0.02
"""Share of the width that a star takes with the gap beside it."""

REACH: Final = 0.04
"""Share of the candidates' span by which a reference may lie outside of it and still be drawn."""

FAR_RIGHT: Final = 0.85
"""Share of the width from which a name stands to the left of its star, to stay in the picture."""

NAMED_BEYOND: Final = 3
"""References beyond an edge that are named; more are counted."""


VERTICAL: Final = ("upper", "lower")
"""Edges beyond which a reference lies by its place upwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedReferences:
    """The references of a study over the axes of a picture."""

    stars: tuple[Reference, ...]
    """With both coordinates."""

    ticks: tuple[Reference, ...]
    """With a place to the right alone."""

    beyond: Mapping[str, tuple[Reference, ...]]
    """Those too far from the candidates to be drawn, by the edge beyond which they lie, nearest first."""


def placed_references(plane: Plane) -> PlacedReferences:
    """Return where each reference goes, from left to right; those without a place to the right go nowhere."""
    stars: list[Reference] = []
    ticks: list[Reference] = []
    beyond: dict[str, list[Reference]] = {}
    for one in plane.results.references:
        across = _share(one, plane.x, plane.span)
        if across is None:
            continue
        up = _share(one, plane.y, plane.heights)
        edge = _edge(across, "left", "right") or (None if up is None else _edge(up, "lower", "upper"))
        if edge:
            beyond.setdefault(edge, []).append(one)
        else:
            (ticks if up is None else stars).append(one)
    for group in (stars, ticks):
        group.sort(key=lambda one: one.figures[plane.x.column])
    for edge, group in beyond.items():
        column = (plane.y if edge in VERTICAL else plane.x).column
        # Those nearest to the candidates say most, and come first.
        group.sort(key=lambda one: one.figures[column], reverse=edge in ("left", "lower"))
    return PlacedReferences(
        stars=tuple(stars), ticks=tuple(ticks), beyond={edge: tuple(group) for edge, group in beyond.items()}
    )


def add_stars(figure: go.Figure, plane: Plane, references: PlacedReferences) -> None:
    """Draw the references whose both coordinates are known, named."""
    if not references.stars:
        return
    figure.add_scatter(
        x=[one.figures[plane.x.column] for one in references.stars],
        y=[one.figures[plane.y.column] for one in references.stars],
        mode="markers+text",
        name="published",
        text=[f" {hover_text(one.name)} " for one in references.stars],
        textposition=[
            "middle left" if 0.5 + _distance(one, plane) > FAR_RIGHT else "middle right" for one in references.stars
        ],
        textfont={"size": 11.5, "color": palette.MUTED},
        marker={"symbol": "star-open", "size": 11, "color": palette.INK, "line": {"width": 1.3}},
        hovertext=[_described(one, plane) for one in references.stars],
        hoverinfo="text",
    )


def add_reference_row(figure: go.Figure, plane: Plane, references: PlacedReferences, *, top: float) -> None:
    """Draw the references with a place to the right alone between the bottom and this share of the height."""
    rows, named = _rows(references.ticks, plane)
    names = {(NUM_ROWS - 1) / 2: "published"}
    figure.update_layout(yaxis3=rows_axis(names, domain=(0.0, top), num_rows=NUM_ROWS))
    add_ground(figure, domain=(0.0, top))
    if references.ticks:
        figure.add_scatter(
            x=[one.figures[plane.x.column] for one in references.ticks],
            y=[rows[one.name] for one in references.ticks],
            yaxis="y3",
            mode="markers+text",
            name="published",
            text=[f" {hover_text(one.name)}" if one.name in named else "" for one in references.ticks],
            textposition="middle right",
            textfont={"size": 11.5, "color": palette.MUTED},
            marker={"symbol": "star-open", "size": 8, "color": palette.INK, "line": {"width": 1.2}},
            hovertext=[_described(one, plane) for one in references.ticks],
            hoverinfo="text",
            showlegend=False,
        )


def beyond_sentence(plane: Plane, references: PlacedReferences) -> str:
    """Return which references lie beyond an edge of the picture; empty where none does."""
    parts = [
        f"{len(group)} beyond the {edge} edge ({_named(group, plane.y if edge in VERTICAL else plane.x)})"
        for edge, group in references.beyond.items()
    ]
    return f"Published architectures: {' and '.join(parts)}." if parts else ""


def _named(references: tuple[Reference, ...], axis: Axis) -> str:
    named = [f"{one.name} {written(axis, one.figures[axis.column])}" for one in references[:NAMED_BEYOND]]
    return ", ".join(named) + (" and others" if len(references) > NAMED_BEYOND else "")


def _distance(reference: Reference, plane: Plane) -> float:
    assert plane.span is not None, "references are placed against candidates"
    return share_within(plane.x, reference.figures[plane.x.column], plane.span) - 0.5


def _rows(references: tuple[Reference, ...], plane: Plane) -> tuple[Mapping[str, int], set[str]]:
    """Return the row of each reference, from left to right, and those whose name finds room there."""
    ends = [-1.0] * NUM_ROWS
    rows: dict[str, int] = {}
    named: set[str] = set()
    for one in references:
        start = 0.5 + _distance(one, plane)
        end = start + STAR_WIDTH + LETTER_WIDTH * len(one.name)
        row = next((row for row, taken in enumerate(ends) if taken <= start), None)
        # A name that would run out of the picture is left to the hover as well.
        if row is None or end > 1 + REACH:
            row, end = min(range(NUM_ROWS), key=ends.__getitem__), start + STAR_WIDTH
        else:
            named.add(one.name)
        rows[one.name] = row
        ends[row] = max(ends[row], end)
    return rows, named


def _share(reference: Reference, axis: Axis, span: tuple[float, float] | None) -> float | None:
    """Return where a reference stands among the candidates; none where its figure or theirs is not known."""
    value = reference.figures.get(axis.column)
    if value is None or span is None or (axis.is_log and value <= 0):
        return None
    return share_within(axis, value, span)


def _edge(share: float, low: str, high: str) -> str | None:
    """Return the edge beyond which a place lies; none for one in the picture."""
    if -REACH <= share <= 1 + REACH:
        return None
    return low if share < 0 else high


def _described(reference: Reference, plane: Plane) -> str:
    figures = [
        f"{hover_text(axis.label)} {hover_text(written(axis, reference.figures[axis.column]))}"
        for axis in (plane.y, plane.x)
        if axis.column in reference.figures
    ]
    pattern = f"<b>{hover_text(reference.pattern, width=56, max_lines=4)}</b>"
    return "<br>".join([f"<b>{hover_text(reference.name)}</b>  published", pattern, *figures])
