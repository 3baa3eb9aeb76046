"""The line where what was predicted is what was measured, and a band around it: the ground of such pictures."""

import plotly.graph_objects as go

from dashboards import palette


def add_equality(figure: go.Figure, *, ends: tuple[float, float], band: float, name: str) -> None:
    """Draw the line between two ends, and behind it a band of `band` (a share) to both sides, called `name`."""
    figure.add_scatter(
        x=[*ends, *reversed(ends)],
        y=[*(end * (1 - band) for end in ends), *(end * (1 + band) for end in reversed(ends))],
        fill="toself",
        mode="lines",
        line={"width": 0},
        fillcolor=palette.RULE,
        name=name,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": palette.MUTED, "dash": "dot"}, name="equal", hoverinfo="skip"
    )
