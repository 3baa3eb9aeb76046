"""Predicted against measured latency, one point a model, and the error of each beside it."""

from collections.abc import Sequence
from typing import Any, Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.equality import add_equality
from dashboards.figures.log_axis import log_axis
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import PredictedAndMeasured
from dashboards.text import hover_text

BAND: Final = 0.1
"""Half the width of the shaded band around equality, as a share."""

_LEFT: Final = (0.0, 0.46)
_RIGHT: Final = (0.56, 1.0)


def validation_figure(models: Sequence[PredictedAndMeasured]) -> go.Figure:
    """Draw the models around the line where prediction and measurement are equal, and their errors in percent."""
    figure = new_figure(height=480)
    if not models:
        return say_instead(figure, "No model was timed.")
    measured = [model.measured_ms for model in models]
    every = [*measured, *(model.predicted_ms for model in models)]
    ends = (0.9 * min(every), 1.1 * max(every))
    add_equality(figure, ends=ends, band=BAND, name=f"within {100 * BAND:.0f} %")
    common: dict[str, Any] = {
        "x": measured,
        "mode": "markers",
        "marker": {"size": 9, "color": palette.ACCENT, "line": {"width": 1, "color": palette.SURFACE}},
        "customdata": [[hover_text(model.name), model.hidden_size, model.predicted_ms] for model in models],
        "name": "one model",
        "legendgroup": "models",
    }
    words = "%{customdata[0]}, width %{customdata[1]}<br>measured %{x:.4~g} ms, predicted %{customdata[2]:.4~g} ms"
    figure.add_scatter(**common, y=[model.predicted_ms for model in models], hovertemplate=f"{words}<extra></extra>")
    errors = [100 * model.error for model in models]
    figure.add_scatter(
        **common,
        y=errors,
        xaxis="x2",
        yaxis="y2",
        showlegend=False,
        hovertemplate=f"{words}<br>error %{{y:+.1f}} %<extra></extra>",
    )
    # Wider than the band, so that it is seen as one.
    farthest = max(1.15 * max(map(abs, errors)), 150 * BAND)
    figure.update_layout(
        xaxis={"title": {"text": "Measured, ms"}, "domain": list(_LEFT), **log_axis(measured)},
        yaxis={"title": {"text": "Predicted, ms"}, **log_axis(every)},
        xaxis2={"title": {"text": "Measured, ms"}, "domain": list(_RIGHT), "anchor": "y2", **log_axis(measured)},
        yaxis2={
            "title": {"text": "Error of the prediction"},
            "anchor": "x2",
            "range": [-farthest, farthest],
            "ticksuffix": " %",
        },
        shapes=[_across(-100 * BAND, 100 * BAND), _across(0, 0)],
    )
    return figure


def _across(low: float, high: float) -> dict[str, Any]:
    """Return a band across the plot of errors; a line where both ends are the same."""
    is_line = low == high
    return {
        "type": "line" if is_line else "rect",
        "xref": "x2 domain",
        "yref": "y2",
        "x0": 0,
        "x1": 1,
        "y0": low,
        "y1": high,
        "fillcolor": palette.RULE,
        "line": {"width": 1.5 if is_line else 0, "color": palette.MUTED, "dash": "dot"},
        "layer": "below",
    }
