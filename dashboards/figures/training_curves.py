"""The curves of several trainings on one picture: the loss, and under it how the training behaved.

Every training has one colour and one dash throughout. A long log is drawn as means over pieces of equal length.
"""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards import palette
from dashboards.figures.log_axis import log_axis
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import TrainingRun
from dashboards.text import hover_text, number

MOST_POINTS: Final = 600
"""Of one curve."""

DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash")

PANELS: Final = (
    ("gradient_norm", "Gradient norm, before clipping", ".4~g"),
    ("weight_norm", "Weight norm", ".4~g"),
    ("learning_rate", "Learning rate", ".3~g"),
    ("tokens_per_s", "Tokens a second (higher is better)", ".4~s"),
)
"""Column, title, and how a value is written."""


def loss_figure(runs: Sequence[TrainingRun]) -> go.Figure:
    """Draw training loss (thin) and validation loss (thick, with marks) over tokens."""
    figure = new_figure(height=480)
    if not any(len(run.events) for run in runs):
        return say_instead(figure, "Nothing was logged yet.")
    for run, look in zip(runs, _looks(len(runs)), strict=True):
        trained, validated = _curve(run.events, "loss"), _curve(run.events, "validation_loss")
        common: dict[str, Any] = {"name": run.name, "legendgroup": run.name}
        figure.add_scatter(
            **common,
            x=trained["tokens"],
            y=trained["loss"],
            mode="lines",
            line={**look, "width": 1.3},
            opacity=0.55 if len(validated) else 1.0,
            showlegend=validated.empty,
            hovertemplate=_hover(run.name, "training loss", ".4f"),
        )
        if len(validated):
            figure.add_scatter(
                **common,
                x=validated["tokens"],
                y=validated["validation_loss"],
                mode="lines+markers",
                line={**look, "width": 2.6},
                marker={"size": 7, "color": look["color"], "line": {"width": 1, "color": palette.SURFACE}},
                hovertemplate=_hover(run.name, "validation loss", ".4f"),
            )
    figure.update_layout(
        yaxis={"title": {"text": "Loss, nats per token (lower is better)"}, "range": _loss_range(runs)},
        margin={"l": 72, "r": 24, "t": 60, "b": 56},
        legend={"itemwidth": 42},
    )
    figure.update_xaxes(title_text="Training tokens")
    _add_scale_buttons(figure, runs, axes=("xaxis",), above=6)
    _say_first_losses(figure, runs)
    return figure


def behaviour_figure(runs: Sequence[TrainingRun], *, has_legend: bool = True) -> go.Figure:
    """Draw norms, learning rate and speed over tokens, one small picture each, zoomed together.

    Args:
        runs: to draw.
        has_legend: whether to name them, and to let tokens be shown logarithmically.
    """
    figure = new_figure(height=620 if has_legend else 560)
    if not any("loss" in run.events and run.events["loss"].notna().any() for run in runs):
        return say_instead(figure, "Nothing was logged yet.")
    make_subplots(
        rows=2,
        cols=2,
        figure=figure,
        shared_xaxes="all",
        horizontal_spacing=0.09,
        vertical_spacing=0.13,
        subplot_titles=[title for _, title, _ in PANELS],
    )
    for run, look in zip(runs, _looks(len(runs)), strict=True):
        for index, (column, title, written) in enumerate(PANELS):
            curve = _curve(run.events, column)
            figure.add_scatter(
                x=curve["tokens"],
                y=curve[column],
                mode="lines",
                line={**look, "width": 1.8},
                name=run.name,
                legendgroup=run.name,
                showlegend=index == 0,
                hovertemplate=_hover(run.name, title.split(",")[0].split(" (")[0].lower(), written),
                row=1 + index // 2,
                col=1 + index % 2,
            )
    for title in figure.layout.annotations:
        title.update(x=title.x - 0.2275, xanchor="left", font={"size": 13, "color": palette.MUTED})
    figure.update_xaxes(title_text="Training tokens", row=2)
    figure.update_xaxes(showticklabels=True)
    for row, col in ((1, 1), (2, 1), (2, 2)):  # a weight norm moves by little, far from zero
        figure.update_yaxes(rangemode="tozero", row=row, col=col)
    figure.update_yaxes(tickformat="~s", row=2, col=2)
    figure.update_yaxes(exponentformat="power", row=2, col=1)
    titles = {f"y{index + 1}" if index else "y": title for index, (_, title, _) in enumerate(PANELS)}
    # Drawn above each picture; the table below them asks for the title of the axis.
    figure.update_layout(
        margin={"l": 64, "r": 24, "t": 86 if has_legend else 36, "b": 56},
        legend={"itemwidth": 42},
        showlegend=has_legend,
        meta={"axis_titles": titles},
    )
    if has_legend:
        _add_scale_buttons(figure, runs, axes=("xaxis", "xaxis2", "xaxis3", "xaxis4"), above=28)
    return figure


def _looks(num_runs: int) -> list[dict[str, Any]]:
    return [
        {"color": colour, "dash": DASHES[index % len(DASHES)]} for index, colour in enumerate(palette.ramp(num_runs))
    ]


def _hover(name: str, what: str, written: str) -> str:
    return f"<b>{hover_text(name)}</b><br>{what} %{{y:{written}}}<br>after %{{x:.4~s}} tokens<extra></extra>"


def _curve(events: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return tokens and one column where it is known, as means of at most `MOST_POINTS` pieces."""
    if column not in events:
        return pd.DataFrame({"tokens": [], column: []})
    known = events.loc[events[column].notna(), ["tokens", column]].reset_index(drop=True)
    if len(known) <= MOST_POINTS:
        return known
    piece = known.index * MOST_POINTS // len(known)
    # A piece ends where its mean is known: the curve says nothing of tokens not yet seen.
    return known.groupby(piece).agg({"tokens": "max", column: "mean"})


def _loss_range(runs: Sequence[TrainingRun]) -> list[float] | None:
    """Return where the losses lie but for those of the first steps, which would press the rest together."""
    curves = [_curve(run.events, column)[column] for run in runs for column in ("loss", "validation_loss")]
    late = pd.concat([curve.iloc[len(curve) // 20 :] for curve in curves if len(curve)])
    low, high = float(late.min()), float(late.max())
    room = 0.06 * (high - low)
    return [low - room, high + room] if room > 0 else None


def _say_first_losses(figure: go.Figure, runs: Sequence[TrainingRun]) -> None:
    """Say how high the losses are that lie above the picture."""
    shown = figure.layout.yaxis.range
    curves = [_curve(run.events, column)[column] for run in runs for column in ("loss", "validation_loss")]
    highest = max(float(curve.max()) for curve in curves if len(curve))
    if shown is None or highest <= shown[1]:
        return
    figure.add_annotation(
        text=f"The first losses, up to {number(highest)}, lie above; press twice to see them.",
        x=1,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="right",
        yanchor="top",
        showarrow=False,
        bgcolor=palette.SURFACE,
        borderpad=2,
        font={"size": 12, "color": palette.MUTED},
    )


def _add_scale_buttons(figure: go.Figure, runs: Sequence[TrainingRun], *, axes: Sequence[str], above: int) -> None:
    tokens = pd.concat([run.events["tokens"] for run in runs if len(run.events)])
    ticks = log_axis([float(tokens[tokens > 0].min()), float(tokens.max())])
    buttons = []
    for label, changes in (
        ("Linear tokens", {"type": "linear", "tickmode": "auto", "tickvals": None, "ticktext": None}),
        ("Logarithmic", {**ticks, "tickmode": "array", "ticktext": _short(ticks)}),
    ):
        relayout = {f"{axis}.{key}": value for axis in axes for key, value in {**changes, "autorange": True}.items()}
        buttons.append({"label": label, "method": "relayout", "args": [relayout]})
    figure.update_layout(
        updatemenus=[
            {
                "type": "buttons",
                "direction": "right",
                "buttons": buttons,
                "x": 1,
                "xanchor": "right",
                "y": 1,
                "yanchor": "bottom",
                "pad": {"b": above, "r": 0},
                "bgcolor": palette.SURFACE,
                "bordercolor": palette.RULE,
                "font": {"size": 12, "color": palette.MUTED},
                "showactive": True,
            }
        ]
    )


def _short(ticks: dict[str, object]) -> list[str]:
    values = ticks.get("tickvals", [])
    assert isinstance(values, list)
    return [_tokens(value) for value in values]


def _tokens(amount: float) -> str:
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{amount / size:g}{unit}"
    return f"{amount:g}"
