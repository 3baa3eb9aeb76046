"""The trade-off: candidates over two axes, the frontier among them, and what did not make it.

Puts the parts together; each has its own file, and what stands where is decided in `dashboards/analysis/plane.py`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.filters import REFERENCES
from dashboards.analysis.plane import Plane
from dashboards.figures.axis_style import axis_style
from dashboards.figures.pareto_budget import add_budget, add_chosen, add_limit, right_edge
from dashboards.figures.pareto_frontier import add_frontier
from dashboards.figures.pareto_marks import add_dominated, add_unusual
from dashboards.figures.pareto_overlays import add_overlays
from dashboards.figures.pareto_references import NUM_ROWS, add_reference_row, add_stars, placed_references
from dashboards.figures.pareto_strip import PADDING, add_strip, strip_statuses
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Results

HEIGHT: Final = 560
ROW_HEIGHT: Final = 19
GAP: Final = 8
"""Pixels."""

_NO_STUDIES: Final[Mapping[str, Results]] = MappingProxyType({})


def pareto_figure(plane: Plane, overlaid: Mapping[str, Results] = _NO_STUDIES) -> go.Figure:
    """Draw the candidates over the axes of a view.

    Args:
        plane: the candidates, placed.
        overlaid: other studies whose frontiers are drawn too, by name.
    """
    figure = new_figure(height=HEIGHT)
    figure.update_layout(uirevision=f"{plane.x.column}-{plane.y.column}-{plane.x.is_log}-{plane.y.is_log}")
    if plane.span is None:
        return say_instead(figure, _why_empty(plane))
    has_strip = not plane.without_score.empty
    references = placed_references(plane)
    has_references = REFERENCES not in plane.view.hide and bool(references.ticks)
    is_alone = plane.placed.empty
    if is_alone:
        figure.update_layout(height=HEIGHT // 2 if has_references else 210)

    add_dominated(figure, plane)
    add_unusual(figure, plane)
    if REFERENCES not in plane.view.hide:
        add_stars(figure, plane, references)
    add_overlays(figure, plane, overlaid)
    add_frontier(figure, plane)
    top_margin = _legend_height(figure)
    drawn_height = figure.layout.height - top_margin - 56
    row_top = (NUM_ROWS + 2 * PADDING) * ROW_HEIGHT / drawn_height if has_references else 0.0
    strip_bottom = 1 - (len(strip_statuses(plane)) + 2 * PADDING) * ROW_HEIGHT / drawn_height if has_strip else 1.0
    gap = GAP / drawn_height
    if has_strip:
        add_strip(figure, plane, bottom=row_top + gap if is_alone else strip_bottom)
    if has_references:
        add_reference_row(figure, plane, references, top=row_top)
    add_limit(figure, plane)
    add_budget(figure, plane)
    add_chosen(figure, plane)

    lowest = "y3" if has_references else "y2" if is_alone else "y"
    figure.update_layout(
        xaxis=axis_style(plane.x, plane.span)
        | {
            "anchor": lowest,
            "autorangeoptions": {"include": [right_edge(plane)], "clipmax": right_edge(plane)},
        },
        margin={"l": 76, "r": 20, "t": top_margin, "b": 56},
        showlegend=True,
    )
    if is_alone:
        return figure
    bottom = row_top + (gap if has_references else 0)
    figure.update_layout(
        yaxis=axis_style(plane.y, plane.heights or ()) | {"domain": [bottom, strip_bottom - (gap if has_strip else 0)]}
    )
    _say_better(figure, plane)
    return figure


def _say_better(figure: go.Figure, plane: Plane) -> None:
    """Say where the better candidates lie, by axes that are minimised."""
    arrow = {(True, True): "↙", (True, False): "←", (False, True): "↓"}.get(
        (plane.x.is_objective, plane.y.is_objective)
    )
    if arrow is None:
        return
    figure.add_annotation(
        text=f"better {arrow}",
        # Below the axis, beside its title: within, the numbers of candidates would lie under it.
        x=0,
        y=0,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="top",
        yshift=-30,
        showarrow=False,
        font={"size": 13, "color": palette.MUTED},
    )


def _why_empty(plane: Plane) -> str:
    if len(plane.rows) < len(plane.everyone):
        return "No candidate is left by the filters."
    return "No candidate has finished yet."


def _legend_height(figure: go.Figure) -> int:
    """Return the margin that the legend needs above, so that it never lies on the candidates."""
    names = [trace.name for trace in figure.data if trace.showlegend is not False]
    # Pixels in a picture of a narrow page.
    width = sum(6 * len(name) + 46 for name in names)
    return 14 + 27 * (1 + width // 800)
