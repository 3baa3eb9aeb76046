"""Frontiers of other studies over the same axes, each with its own dash and symbol."""

from collections.abc import Mapping
from typing import Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.axes import axis_choices
from dashboards.analysis.plane import ACROSS, UP, Plane, plane_of, written
from dashboards.figures.hover import compact
from dashboards.frame import Results
from dashboards.text import hover_text

DASHES: Final = ("dash", "dot", "dashdot", "longdash")
COLOURS: Final = (palette.RAMP[0], palette.RAMP[-1], palette.RAMP[1], palette.RAMP[-2])
"""Those far from the accent, in which the study in front stands."""

MARKS: Final = ("triangle-up", "pentagon", "star-triangle-down", "hexagon")


def undrawn_overlays(plane: Plane, overlaid: Mapping[str, Results]) -> list[str]:
    """Return a sentence for every study that has nothing to draw over these axes."""
    sentences = []
    for name, results in overlaid.items():
        lacking = _lacking(plane, results)
        if lacking:
            words = " and no ".join(label.lower() for label in lacking)
            sentences.append(f"{name} is not drawn: it has no {words}.")
        elif plane_of(results, plane.view).whole_frontier.empty:
            sentences.append(f"{name} is not drawn: it has no frontier yet.")
    return sentences


def add_overlays(figure: go.Figure, plane: Plane, overlaid: Mapping[str, Results]) -> None:
    """Draw the frontier of each study that has the columns."""
    draw = figure.add_scattergl if plane.is_crowd else figure.add_scatter
    for index, (name, results) in enumerate(overlaid.items()):
        if _lacking(plane, results):
            continue
        members = plane_of(results, plane.view).whole_frontier
        if members.empty:
            continue
        # Numbers of another study mean other candidates here, so that a press on its marks must not choose one.
        draw(
            x=compact(members[ACROSS]),
            y=compact(members[UP]),
            mode="lines+markers" if plane.is_trade_off else "markers",
            name=hover_text(name, width=32, max_lines=1),
            line={
                "shape": "hv",
                "width": 1.6,
                "dash": DASHES[index % len(DASHES)],
                "color": COLOURS[index % len(COLOURS)],
            },
            marker={
                "symbol": MARKS[index % len(MARKS)],
                "size": 9,
                "color": COLOURS[index % len(COLOURS)],
                "line": {"width": 1, "color": palette.SURFACE},
            },
            hovertext=[
                f"<b>#{number}</b> of {hover_text(name)}<br>"
                f"{hover_text(plane.y.label)} {hover_text(written(plane.y, up))}<br>"
                f"{hover_text(plane.x.label)} {hover_text(written(plane.x, across))}"
                for number, across, up in zip(members["number"], members[ACROSS], members[UP], strict=True)
            ],
            hoverinfo="text",
        )


def _lacking(plane: Plane, results: Results) -> list[str]:
    """Return the labels of the axes over which a study has no numbers."""
    columns = {axis.column for axis in axis_choices(results)}
    return [axis.label for axis in (plane.x, plane.y) if axis.column not in columns]
