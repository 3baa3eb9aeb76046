"""How far short training can be trusted: perplexity after longer training against the study's, and how scores rank."""

from typing import Any, Final

import plotly.graph_objects as go

from dashboards import palette
from dashboards.figures.log_axis import log_axis
from dashboards.figures.theme import new_figure
from dashboards.frame import Fidelity
from dashboards.text import count, number

_ROW: Final = 30
"""Pixels of one score."""


def fidelity_figure(fidelity: Fidelity) -> go.Figure:
    """Draw the candidates, both perplexities logarithmic; large models dark and large, frontier ones outlined."""
    figure = new_figure(height=480)
    candidates = sorted(fidelity.candidates, key=lambda candidate: candidate.num_parameters)
    colours = palette.ramp(len(candidates))
    looks = {
        candidate.number: {"color": colour, "size": 9 + 9 * place / max(1, len(candidates) - 1)}
        for place, (candidate, colour) in enumerate(zip(candidates, colours, strict=True))
    }
    for is_frontier, name, symbol in ((False, "candidate", "circle"), (True, "frontier", "diamond")):
        group = [candidate for candidate in candidates if candidate.is_frontier == is_frontier]
        if not group:
            continue
        figure.add_scatter(
            x=[candidate.perplexity for candidate in group],
            y=[candidate.long_perplexity for candidate in group],
            mode="markers",
            name=name,
            marker={
                "symbol": symbol,
                "color": [looks[candidate.number]["color"] for candidate in group],
                "size": [looks[candidate.number]["size"] for candidate in group],
                "line": {"width": 1, "color": palette.SURFACE},
                "opacity": 1,
            },
            error_y={
                "type": "data",
                "array": [candidate.high - candidate.long_perplexity for candidate in group],
                "arrayminus": [candidate.long_perplexity - candidate.low for candidate in group],
                "color": palette.FAINT,
                "thickness": 1.2,
                "width": 3,
            },
            customdata=[candidate.number for candidate in group],
            hovertext=[
                f"<b>Trial {candidate.number}</b><br>{count(candidate.num_parameters)} parameters trained"
                f"<br>perplexity {number(candidate.perplexity)} in the search, {number(candidate.long_perplexity)} "
                f"after {fidelity.times:g} times as long"
                for candidate in group
            ],
            hoverinfo="text",
        )
    if candidates:
        _explain_sizes(figure, smallest=candidates[0].num_parameters, largest=candidates[-1].num_parameters)
    figure.update_layout(
        xaxis={
            "title": {"text": "Perplexity in the search"},
            **log_axis([candidate.perplexity for candidate in candidates]),
        },
        yaxis={
            "title": {"text": f"Perplexity after {fidelity.times:g}× the steps"},
            **log_axis([value for candidate in candidates for value in (candidate.low, candidate.high)]),
        },
    )
    return figure


def scores_figure(fidelity: Fidelity) -> go.Figure:
    """Draw the rank correlation of every score with its interval, the first score on top."""
    scores = fidelity.scores
    figure = new_figure(height=96 + _ROW * len(scores))
    figure.add_bar(
        x=[score.spearman for score in scores],
        y=[score.name for score in scores],
        orientation="h",
        width=0.6,
        marker={"color": [palette.ACCENT if score.is_ranked_by else palette.FAINT for score in scores]},
        error_x={
            "type": "data",
            "array": [score.high - score.spearman for score in scores],
            "arrayminus": [score.spearman - score.low for score in scores],
            "color": palette.INK,
            "thickness": 1.3,
            "width": 4,
        },
        customdata=[[score.low, score.high] for score in scores],
        hovertemplate="%{y}<br>Spearman %{x:.2f}, 90 % of draws in %{customdata[0]:.2f} to %{customdata[1]:.2f}"
        "<extra></extra>",
        showlegend=False,
    )
    low = min([0.0, *(score.low for score in scores)])
    axis: dict[str, Any] = {
        "range": [low - 0.05 if low else 0.0, 1.03],
        "zeroline": True,
        "zerolinecolor": palette.MUTED,
    }
    figure.update_layout(
        margin={"l": 64, "r": 24, "t": 16, "b": 52},
        xaxis={**axis, "title": {"text": f"Spearman correlation with perplexity after {fidelity.times:g}× the steps"}},
        yaxis={
            "type": "category",
            "autorange": "reversed",
            "ticks": "",
            "tickfont": {"color": palette.INK, "size": 13},
        },
    )
    return figure


def _explain_sizes(figure: go.Figure, *, smallest: int, largest: int) -> None:
    """Put the smallest and the largest model into the legend."""
    for num_parameters, size, colour in ((smallest, 9, palette.RAMP[0]), (largest, 18, palette.RAMP[-1])):
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"size": size, "color": colour},
            name=f"{count(num_parameters)} parameters",
            hoverinfo="skip",
        )
    # The keys show sizes, so they are drawn as large as the marks.
    figure.update_layout(legend={"itemsizing": "trace"})
