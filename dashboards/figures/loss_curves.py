"""Learning curves of chosen candidates over those of the frontier. Not of the frontier alone: that is `curves.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.trial_parts import Curve
from dashboards.figures.theme import new_figure, say_instead

COLOURS: Final = (palette.ACCENT, palette.CAUTION, palette.INK, palette.MARK)
DASHES: Final = ("solid", "dash", "dot", "dashdot")
SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up")
"""Of candidates side by side, in their order: told apart without colour too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialCurve:
    """The curve of one candidate."""

    trial: int
    curve: Curve


def loss_curves_figure(chosen: Sequence[TrialCurve], *, behind: Sequence[TrialCurve] = ()) -> go.Figure:
    """Draw the chosen curves in full, and those behind as faint lines.

    Of a chosen candidate alone its training loss is drawn too; of several, the validation loss, or the training loss
    where no validation was made along the way.
    """
    figure = new_figure(height=380)
    chosen = [entry for entry in chosen if entry.curve]
    if not chosen:
        return say_instead(figure, "No learning curve was kept.")
    _add_behind(figure, [entry for entry in behind if entry.curve])
    for index, entry in enumerate(chosen):
        points, kind = points_of(entry.curve)
        trained = [(tokens, loss) for tokens, loss, _ in entry.curve if loss is not None]
        if len(chosen) == 1 and kind == "validation loss" and trained:
            _add(
                figure, entry, trained, "training loss",
                name="training loss", mode="lines", line={"color": palette.MARK, "width": 1.4, "dash": "dot"},
            )  # fmt: skip
        colour = COLOURS[index % len(COLOURS)]
        _add(
            figure, entry, points, kind,
            name=kind if len(chosen) == 1 else f"#{entry.trial}", mode="lines+markers",
            line={"color": colour, "width": 2.6, "dash": DASHES[index % len(DASHES)]},
            marker={"color": colour, "size": 7, "symbol": SYMBOLS[index % len(SYMBOLS)], "maxdisplayed": 14},
        )  # fmt: skip
    figure.update_layout(
        margin={"l": 64, "r": 24, "t": 56, "b": 56},
        legend={"itemwidth": 38},
        xaxis={"title": {"text": "Training tokens"}},
        yaxis={"title": {"text": "Loss (nats per token)"}},
        uirevision=",".join(str(entry.trial) for entry in chosen),
    )
    return figure


def points_of(curve: Curve) -> tuple[list[tuple[float, float]], str]:
    """Return (tokens, loss) of validation, or of training where validation was made once at most, and which it is."""
    validated = [(tokens, loss) for tokens, _, loss in curve if loss is not None]
    trained = [(tokens, loss) for tokens, loss, _ in curve if loss is not None]
    return (validated, "validation loss") if len(validated) > 1 else (trained, "training loss")


def _add(
    figure: go.Figure,
    entry: TrialCurve,
    points: Sequence[tuple[float, float]],
    kind: str,
    **attributes: Any,
) -> None:
    figure.add_scatter(
        x=[tokens for tokens, _ in points],
        y=[loss for _, loss in points],
        hovertemplate=f"<b>#{entry.trial}</b> {kind} %{{y:.4f}}<br>after %{{x:.4~s}} tokens<extra></extra>",
        customdata=[entry.trial] * len(points),
        **attributes,
    )


def _add_behind(figure: go.Figure, behind: Sequence[TrialCurve]) -> None:
    shown: Mapping[bool, dict[str, Any]] = {True: {"name": "the rest of the frontier"}, False: {"showlegend": False}}
    for index, entry in enumerate(behind):
        points, kind = points_of(entry.curve)
        _add(
            figure, entry, points, kind,
            mode="lines", line={"color": palette.FAINT, "width": 1}, opacity=0.7, legendgroup="behind",
            **shown[index == 0],
        )  # fmt: skip
