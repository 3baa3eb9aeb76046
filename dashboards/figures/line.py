"""One candidate's line: each objective from its seed down to it, generation by generation."""

from collections.abc import Sequence
from typing import Any

from plotly.graph_objects import Figure
from plotly.subplots import make_subplots

from dashboards import palette
from dashboards.analysis.lineage import Line
from dashboards.figures.hover import brief, full
from dashboards.figures.marks import SYMBOLS
from dashboards.figures.theme import TEMPLATE, new_figure, say_instead
from dashboards.frame import Objective, Results

MOST_LABELS = 16
MOST_DESCRIBED = 40
"""Generations up to which the hover describes each in full."""


def line_figure(results: Results, line: Line) -> Figure:
    """Draw the first objective, and below it the second, over the generations."""
    if len(line.rows) < 2:
        return say_instead(new_figure(height=160), "It has no parent: its line begins with it.")
    numbers = [row["number"] for row in line.rows]
    rows = results.trials.set_index("number", drop=False).loc[numbers]
    objectives = results.objectives[:2]
    figure = make_subplots(rows=len(objectives), cols=1, shared_xaxes=True, vertical_spacing=0.09)
    for place, objective in enumerate(objectives, start=1):
        values = [None if value != value else value for value in rows[objective.column].astype(float).tolist()]
        words = full(rows, results=results) if len(numbers) <= MOST_DESCRIBED else brief(rows, y=objective)
        _add_objective(figure, objective, numbers, values, rows["origin"].tolist(), place=place, words=words)
    bottom = "xaxis" if len(objectives) == 1 else "xaxis2"
    generations = _labelled(len(numbers))
    figure.update_layout(
        template=TEMPLATE,
        height=90 + _panel_height(len(numbers)) * len(objectives),
        uirevision=f"{numbers[-1]}-{len(objectives)}",
        showlegend=False,
        margin={"l": 72, "r": 24, "t": 16, "b": 56},
    )
    figure.update_xaxes(
        tickvals=generations, ticktext=[f"#{numbers[place]}" for place in generations], range=[-0.4, len(numbers) - 0.6]
    )
    figure.update_layout({bottom: {"title": {"text": "From where its line began to it, parent to child"}}})
    return figure


def _add_objective(
    figure: Figure,
    objective: Objective,
    numbers: Sequence[int],
    values: Sequence[float | None],
    origins: Sequence[str],
    *,
    place: int,
    words: dict[str, Any],
) -> None:
    last = len(numbers) - 1
    figure.add_scatter(
        x=list(range(len(numbers))),
        y=values,
        mode="lines+markers",
        line={"color": palette.ACCENT, "width": 2},
        marker={
            "symbol": [
                SYMBOLS.get(origin, "circle") + ("" if at == last else "-open") for at, origin in enumerate(origins)
            ],
            "size": [13 if at == last else 10 for at in range(len(numbers))],
            "color": palette.ACCENT,
            "opacity": 1,
            "line": {"width": 1.8, "color": palette.ACCENT},
        },
        connectgaps=True,
        cliponaxis=False,
        row=place,
        col=1,
        **words | {"customdata": list(numbers)},
    )
    kind = "log" if objective.log else "linear"
    figure.update_yaxes(title={"text": objective.title}, type=kind, nticks=5, row=place, col=1)


def _panel_height(num_rows: int) -> int:
    """Return the pixels of one objective: a short line says little, and needs little room."""
    return min(150, 92 + 8 * num_rows)


def _labelled(num_rows: int) -> list[int]:
    """Return the generations whose number is written: all, or evenly along them, the first and the last included."""
    if num_rows <= MOST_LABELS:
        return list(range(num_rows))
    return sorted({round(index * (num_rows - 1) / (MOST_LABELS - 1)) for index in range(MOST_LABELS)})
