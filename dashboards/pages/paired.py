"""One change against none, family by family: both losses over training, and their difference with its interval.

A page of its own; what was compared, and how fairly, the caller knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboards import palette
from dashboards.elements import Graph, element
from dashboards.figures.theme import new_figure
from dashboards.standalone import standalone_html, write_page

COLOURS: Final = (palette.RAMP[0], palette.RAMP[5])
DASHES: Final = ("dash", "solid")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedCurves:
    """One family."""

    name: str
    tokens: Sequence[int]
    without: Sequence[float]
    """Mean validation losses over seeds, nats a token."""

    with_it: Sequence[float]
    difference: Sequence[float]
    """With minus without."""

    low: Sequence[float]
    high: Sequence[float]


def write_paired_page(
    families: Sequence[PairedCurves], path: Path, *, title: str, arms: tuple[str, str], words: Sequence[str]
) -> None:
    """Write the page to `path`; `words` are what was found, a sentence each."""
    label = f"Validation loss with {arms[0]} and with {arms[1]}, and the difference with its interval."
    tree = element(
        "div",
        element("p", "HybridNAS", class_="brand"),
        element("div", element("h1", title), class_="title"),
        element("p", "The same models in both arms, learning rates swept alike, several seeds.", class_="explanation"),
        element(
            "main",
            element(
                "section",
                element("h2", "Over training"),
                element(
                    "p",
                    f"Above, the mean loss of both arms. Below, how much higher it is with {arms[1]}, seed by seed, "
                    "with the 95 % interval: under the line the change wins.",
                    class_="explanation",
                ),
                Graph(name="paired", figure=paired_figure(families, arms=arms), label=label),
                element("ul", *(element("li", sentence) for sentence in words)),
                class_="whole",
            ),
        ),
        class_="page",
    )
    write_page(standalone_html(tree, title=title), path)


def paired_figure(families: Sequence[PairedCurves], *, arms: tuple[str, str]) -> go.Figure:
    """Draw a column for each family: losses, and the difference on one scale for all."""
    figure = new_figure(height=620)
    make_subplots(
        rows=2,
        cols=len(families),
        figure=figure,
        shared_xaxes=True,
        row_heights=[0.5, 0.5],
        vertical_spacing=0.06,
        horizontal_spacing=0.045,
        column_titles=[family.name for family in families],
    )
    for column, family in enumerate(families, start=1):
        place = {"row": 1, "col": column}
        for name, losses, colour, dash in zip(arms, (family.without, family.with_it), COLOURS, DASHES, strict=True):
            figure.add_scatter(
                x=list(family.tokens),
                y=list(losses),
                mode="lines",
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                line={"color": colour, "width": 2.2, "dash": dash},
                hovertemplate=f"{name}: %{{y:.4f}}<br>after %{{x:.4~s}} tokens<extra></extra>",
                **place,
            )
        _add_difference(figure, family, column=column)
    # The first losses would press the rest together.
    for column, family in enumerate(families, start=1):
        late = [*family.without[len(family.without) // 8 :], *family.with_it[len(family.with_it) // 8 :]]
        room = 0.06 * (max(late) - min(late))
        figure.update_yaxes(range=[min(late) - room, max(late) + room], row=1, col=column)
    lows, highs = [min(family.low) for family in families], [max(family.high) for family in families]
    room = 0.06 * (max(highs) - min(lows))
    figure.update_yaxes(range=[min(*lows, 0) - room, max(*highs, 0) + room], row=2)
    figure.update_yaxes(title_text="Loss, nats per token", row=1, col=1)
    figure.update_yaxes(title_text="Difference, nats (below 0 the change wins)", row=2, col=1)
    figure.update_xaxes(title_text="Training tokens", nticks=4, row=2)
    figure.update_layout(margin={"l": 72, "r": 16, "t": 72, "b": 56}, legend={"itemwidth": 42})
    for note in figure.layout.annotations:
        note.update(font={"size": 14, "color": palette.INK})
    return figure


def _add_difference(figure: go.Figure, family: PairedCurves, *, column: int) -> None:
    place = {"row": 2, "col": column}
    tokens = list(family.tokens)
    figure.add_scatter(
        x=[*tokens, *reversed(tokens)],
        y=[*family.high, *reversed(family.low)],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=palette.ACCENT_SOFT,
        showlegend=False,
        hoverinfo="skip",
        **place,
    )
    figure.add_scatter(
        x=tokens,
        y=list(family.difference),
        customdata=list(zip(family.low, family.high, strict=True)),
        mode="lines",
        line={"color": palette.ACCENT, "width": 2.4},
        showlegend=False,
        hovertemplate="difference %{y:+.4f}, %{customdata[0]:+.4f} to %{customdata[1]:+.4f}"
        "<br>after %{x:.4~s} tokens<extra></extra>",
        **place,
    )
    figure.add_hline(y=0, line={"color": palette.MUTED, "width": 1}, **place)
