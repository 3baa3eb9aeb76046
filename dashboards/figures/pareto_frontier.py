"""The frontier in the plane: its line of steps, its members with their numbers, its knee."""

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.plane import ACROSS, UP, Plane
from dashboards.figures.marks import ORIGIN_GROUPS, SYMBOLS
from dashboards.figures.pareto_labels import KNEE_OFFSET, RING, spaced_labels
from dashboards.figures.pareto_marks import add_marks, whiskers


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
    numbers = [
        {
            "x": plane.x.position(label.across),
            "y": plane.y.position(label.up),
            "text": f"#{label.number}",
            "showarrow": False,
            "xanchor": label.xanchor,
            "yanchor": label.yanchor,
            "xshift": label.xshift,
            "yshift": label.yshift,
            "borderpad": 0,
            "font": {"size": 12, "color": palette.ACCENT},
        }
        for label in spaced_labels(plane)
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
        standoff=RING if plane.view.trial == plane.results.knee else 9,
        arrowwidth=1.2,
        arrowhead=0,
        arrowcolor=palette.ACCENT,
        font={"size": 12.5, "color": palette.ACCENT},
        bgcolor=palette.SURFACE,
        borderpad=2,
    )
