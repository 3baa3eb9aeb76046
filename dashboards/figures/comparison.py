"""Evolution against random search: the hypervolume each half reached alone, with the seed noise beside it.

Shown whichever way it goes. The verdict in words comes with the results; nothing is judged here.
"""

import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Comparison, Results
from dashboards.text import number, significant_decimals


def comparison_figure(results: Results) -> go.Figure:
    """Draw both hypervolumes, each with a whisker of one standard deviation of seed noise."""
    comparison = results.comparison
    if comparison is None:
        return say_instead(new_figure(height=200), "Answered once both halves are complete.")
    figure = new_figure(height=210)
    halves = (
        ("evolved", comparison.evolved_hypervolume, "diamond", palette.ACCENT),
        ("random", comparison.random_hypervolume, "circle", palette.MARK),
    )
    for name, value, symbol, colour in halves:
        figure.add_scatter(
            x=[value],
            y=[name],
            mode="markers+text",
            marker={"symbol": symbol, "size": 15, "color": colour},
            text=[number(value, decimals=comparison_decimals(comparison))],
            textposition="top center",
            textfont={"size": 13.5, "color": palette.INK},
            error_x={
                "type": "constant",
                "value": comparison.noise or 0.0,
                "visible": comparison.noise is not None,
                "color": colour,
                "thickness": 1.6,
                "width": 7,
            },
            cliponaxis=False,
            hovertemplate=f"{name}: hypervolume %{{x:.5~g}}<extra></extra>",
        )
    values = [value for _, value, _, _ in halves]
    reach = max(abs(comparison.difference), comparison.noise or 0.0, abs(values[0]) * 0.01, 1e-12)
    figure.update_layout(
        showlegend=False,
        margin={"l": 24, "r": 24, "t": 16, "b": 52},
        xaxis={
            "title": {"text": "Hypervolume"},
            "autorangeoptions": {"minallowed": min(values) - 1.4 * reach, "maxallowed": max(values) + 1.4 * reach},
        },
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": ["random", "evolved"],
            "autorangeoptions": {"minallowed": -0.6, "maxallowed": 1.7},
            "ticks": "",
            "tickfont": {"color": palette.INK, "size": 13},
        },
    )
    return figure


def comparison_decimals(comparison: Comparison) -> int:
    """Return the decimals that show two digits of the smaller of difference and noise, for all figures alike."""
    smallest = min((abs(value) for value in (comparison.difference, comparison.noise) if value), default=1.0)
    return min(6, max(0, significant_decimals(smallest) - 2))
