"""One look for every Plotly figure, and the one configuration every graph is shown with.

Not the page around the figures: that is `assets/page.css`. Both take their colours from `palette.py`.
"""

from typing import Any, Final

import plotly.graph_objects as go

from dashboards import palette

GRAPH_CONFIG: Final[dict[str, Any]] = {
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "responsive": True,
    "scrollZoom": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg"},
}
"""For every graph without exception: by default Plotly offers to upload the figure to its cloud."""

_AXIS = {
    "gridcolor": palette.RULE,
    "linecolor": palette.RULE,
    "zeroline": False,
    "ticks": "outside",
    "ticklen": 4,
    "tickcolor": palette.RULE,
    "tickfont": {"color": palette.MUTED, "size": 12},
    "title": {"font": {"color": palette.MUTED, "size": 13}, "standoff": 12},
    "automargin": True,
}

TEMPLATE: Final = go.layout.Template(
    layout={
        "font": {"family": palette.FONT, "size": 13, "color": palette.INK},
        "paper_bgcolor": palette.SURFACE,
        "plot_bgcolor": palette.SURFACE,
        "colorway": palette.ramp(6),
        "hovermode": "closest",
        "hoverlabel": {
            "bgcolor": palette.SURFACE,
            "bordercolor": palette.FAINT,
            "font": {"family": palette.FONT, "size": 12.5, "color": palette.INK},
            "align": "left",
        },
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "font": {"color": palette.MUTED, "size": 12.5},
            "itemsizing": "constant",
            "bgcolor": "rgba(0,0,0,0)",
        },
        "margin": {"l": 64, "r": 24, "t": 48, "b": 52},
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": palette.FAINT,
            "activecolor": palette.ACCENT,
        },
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
)


def new_figure(*, height: int) -> go.Figure:
    """Return an empty figure in the common look.

    A constant `uirevision` keeps zoom and hidden legend entries when a live page redraws.
    """
    return go.Figure(layout={"template": TEMPLATE, "height": height, "uirevision": "constant", "autosize": True})


def say_instead(figure: go.Figure, message: str) -> go.Figure:
    """Write why there is nothing to draw, in place of empty axes, and take little room."""
    figure.update_layout(height=120, margin={"l": 0, "r": 0, "t": 0, "b": 0})
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(
        text=message,
        x=0.5,
        y=0.5,
        xref="paper",
        yref="paper",
        showarrow=False,
        font={"size": 14, "color": palette.MUTED},
    )
    return figure
