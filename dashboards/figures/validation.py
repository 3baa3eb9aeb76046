"""Predicted against measured latency, one point a model."""

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.equality import add_equality
from dashboards.figures.theme import new_figure
from dashboards.frame import PredictedAndMeasured

BAND: Final = 0.1
"""Half the width of the shaded band around equality, as a share."""


def validation_figure(models: Sequence[PredictedAndMeasured]) -> go.Figure:
    """Draw the models, the line where prediction and measurement are equal, and ten percent around it."""
    figure = new_figure(height=560)
    every = [value for model in models for value in (model.predicted_ms, model.measured_ms)]
    ends = (0.9 * min(every), 1.1 * max(every))
    add_equality(figure, ends=ends, band=BAND, name=f"within {BAND:.0%}")
    figure.add_scatter(
        x=[model.measured_ms for model in models],
        y=[model.predicted_ms for model in models],
        mode="markers",
        marker={"size": 9, "color": palette.ACCENT, "line": {"width": 1, "color": palette.SURFACE}},
        customdata=[[model.name, model.hidden_size, 100 * model.error] for model in models],
        hovertemplate="%{customdata[0]}, width %{customdata[1]}<br>measured %{x:.4~g} ms, predicted %{y:.4~g} ms"
        "<br>error %{customdata[2]:+.1f} %<extra></extra>",
        name="one model",
    )
    axis = {"type": "log", "exponentformat": "none"}
    figure.update_layout(
        xaxis={**axis, "title": {"text": "Measured, ms"}}, yaxis={**axis, "title": {"text": "Predicted, ms"}}
    )
    return figure
