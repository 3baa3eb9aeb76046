"""The frontier in the plane: its line of steps, its members with their numbers, its knee."""

from typing import Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.marks import ORIGIN_GROUPS, SYMBOLS
from dashboards.figures.pareto_marks import add_marks, whiskers
from dashboards.figures.pareto_scale import share_within
from dashboards.plane import ACROSS, UP, Plane

LETTER_WIDTH: Final = 0.0095
LABEL_HEIGHT: Final = 0.05
"""Share of the plane's width that a letter of a number takes, and of its height."""

KNEE_OFFSET: Final = (46, 44)
"""Pixels from the knee to its name, to the left and down."""

_Box = tuple[float, float, float, float]
"""Left, bottom, right and top in shares of the plane."""


def add_frontier(figure: go.Figure, plane: Plane) -> None:
    """Draw the line where the frontier is one in this plane, and its members filled."""
    whole = plane.whole_frontier
    if plane.is_trade_off and len(whole):
        # Filters hide marks, never the line: what is not drawn still dominates.
        figure.add_scatter(
            x=whole[ACROSS].tolist(),
            y=whole[UP].tolist(),
            mode="lines",
            line={"shape": "hv", "width": 2, "color": palette.ACCENT},
            hoverinfo="skip",
            name="frontier",
        )
    members = plane.frontier
    drawn = {trace.legendgroup for trace in figure.data}
    for label, origins in ORIGIN_GROUPS.items():
        group = members[members["origin"].isin(origins)]
        if group.empty:
            continue
        add_marks(
            figure,
            plane,
            group,
            name=f"{label}, frontier",
            marker={
                "symbol": SYMBOLS[origins[0]],
                "size": 12 if label == "evolved" else 11,
                "color": palette.ACCENT,
                "line": {"width": 1.5, "color": palette.SURFACE},
            },
            is_described=True,
            legendgroup=label,
            # Open marks of the same symbol stand in the legend already.
            showlegend=label not in drawn,
            **whiskers(plane, group, colour=palette.ACCENT),
        )
    _add_numbers(figure, plane)
    _add_knee(figure, plane)


def _add_numbers(figure: go.Figure, plane: Plane) -> None:
    """Write the numbers of the members, as far as they find room; annotations lie on all marks, however drawn."""
    labels = _spaced_labels(plane)
    members = plane.frontier
    numbers = [
        {
            "x": plane.x.position(across),
            "y": plane.y.position(up),
            "text": labels[number],
            "showarrow": False,
            "xanchor": "right",
            "yanchor": "top",
            "xshift": -4,
            "yshift": -3,
            "font": {"size": 12, "color": palette.ACCENT},
        }
        for number, across, up in zip(members["number"], members[ACROSS], members[UP], strict=True)
        if number in labels
    ]
    # All at once: Plotly copies those that are there for each that is added.
    figure.layout.annotations = [*figure.layout.annotations, *numbers]


def _add_knee(figure: go.Figure, plane: Plane) -> None:
    """Name the knee, with a line to it, so that it stands out without colour."""
    row = plane.frontier[plane.frontier["number"] == plane.results.knee]
    if row.empty:
        return
    figure.add_annotation(
        # Annotations are placed on logarithmic axes by the exponent.
        x=plane.x.position(float(row[ACROSS].iloc[0])),
        y=plane.y.position(float(row[UP].iloc[0])),
        text=f"<b>knee</b> #{plane.results.knee}",
        ax=-KNEE_OFFSET[0],
        ay=KNEE_OFFSET[1],
        xanchor="right",
        standoff=9,
        arrowwidth=1.2,
        arrowhead=0,
        arrowcolor=palette.ACCENT,
        font={"size": 12.5, "color": palette.ACCENT},
        bgcolor=palette.SURFACE,
        borderpad=2,
    )


def _spaced_labels(plane: Plane) -> dict[int, str]:
    """Return the labels that lie on no other, by number; none for the knee, which has its own."""
    members, knee = plane.frontier, plane.results.knee
    if plane.span is None or plane.heights is None:
        return {}
    taken: list[_Box] = []
    labels: dict[int, str] = {}
    # The knee first: its name is longer and stands further away.
    order = sorted(
        zip(members["number"].tolist(), members[ACROSS].tolist(), members[UP].tolist(), strict=True),
        key=lambda member: member[0] != knee,
    )
    for number, across, up in order:
        right, top = share_within(plane.x, across, plane.span), share_within(plane.y, up, plane.heights)
        text = f"#{number}"
        if number == knee:
            right, top, text = right - KNEE_OFFSET[0] / 850, top - KNEE_OFFSET[1] / 330, f"knee {text}"
        box = (right - LETTER_WIDTH * len(text), top - LABEL_HEIGHT, right, top)
        is_free = not any(_overlap(box, other) for other in taken)
        if not is_free:
            continue
        taken.append(box)
        if number != knee:
            labels[number] = text
    return labels


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
