"""The frontiers of several studies on one picture."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from dashboards.analysis.selection import evaluated, frontier
from dashboards.figures.hover import compact
from dashboards.figures.loss_curves import COLOURS, DASHES, SYMBOLS
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Objective, Results
from dashboards.text import hover_text


def studies_figure(studies: Mapping[str, Results]) -> go.Figure:
    """Draw each frontier over the first study's first two objectives; with a single one, the best so far.

    Studies that do not know these objectives are left out. Marks of the first study carry the trial's number.
    """
    first = next(iter(studies.values()))
    figure = new_figure(height=480)
    objectives = first.objectives[:2]
    comparable = {name: study for name, study in studies.items() if shares_objectives(study, objectives)}
    for index, (name, study) in enumerate(comparable.items()):
        add = _add_frontier if len(objectives) == 2 else _add_best_so_far
        colour = COLOURS[index % len(COLOURS)]
        look = {
            "line": {"color": colour, "width": 2.2, "dash": DASHES[index % len(DASHES)], "shape": "hv"},
            "marker": {"color": colour, "size": 10, "symbol": SYMBOLS[index % len(SYMBOLS)]},
        }
        add(figure, name, study, objectives, look, has_numbers=study is first)
    if not figure.data:
        return say_instead(figure, "None of these studies has a finished candidate yet.")
    up = objectives[0]
    across = objectives[1] if len(objectives) == 2 else None
    figure.update_layout(
        margin={"l": 72, "r": 24, "t": 56, "b": 56},
        legend={"itemwidth": 38},
        xaxis={
            "title": {"text": "Candidates evaluated" if across is None else across.title},
            "type": "log" if across is not None and across.log else "linear",
        },
        yaxis={"title": {"text": up.title}, "type": "log" if up.log else "linear"},
    )
    return figure


def shares_objectives(study: Results, objectives: tuple[Objective, ...]) -> bool:
    """Whether a study knows all of these."""
    return {entry.column for entry in objectives} <= {entry.column for entry in study.objectives}


def _add_frontier(
    figure: go.Figure,
    name: str,
    study: Results,
    objectives: tuple[Objective, ...],
    look: dict[str, Any],
    *,
    has_numbers: bool,
) -> None:
    up, across = objectives
    rows = frontier(study).sort_values(across.column)
    if rows.empty:
        return
    # The staircase is what the study offers: between two members, the cheaper one is the best to be had. With a third
    # objective the members form none.
    _add(
        figure, name, compact(rows[across.column]), compact(rows[up.column]), rows["number"].tolist(),
        f"{hover_text(across.label)} %{{x:.4~g}} {hover_text(across.unit)}<br>"
        f"{hover_text(up.label)} %{{y:.4~g}} {hover_text(up.unit)}",
        look, mode="lines+markers" if len(study.objectives) == 2 else "markers", has_numbers=has_numbers,
    )  # fmt: skip


def _add_best_so_far(
    figure: go.Figure,
    name: str,
    study: Results,
    objectives: tuple[Objective, ...],
    look: dict[str, Any],
    *,
    has_numbers: bool,
) -> None:
    (up,) = objectives
    rows = evaluated(study)
    best = rows[up.column].cummin().ffill()
    if best.notna().sum() == 0:
        return
    _add(
        figure, name, list(range(1, len(rows) + 1)), compact(best), rows["number"].tolist(),
        f"best {hover_text(up.label)} after %{{x}} candidates %{{y:.4~g}} {hover_text(up.unit)}",
        look, mode="lines", has_numbers=has_numbers,
    )  # fmt: skip


def _add(
    figure: go.Figure,
    name: str,
    x: Any,
    y: Any,
    numbers: list[int],
    words: str,
    look: dict[str, Any],
    *,
    mode: str,
    has_numbers: bool,
) -> None:
    # Only candidates of the study in front can be looked at: the numbers of others stand in the words alone.
    attributes: dict[str, Any] = {"customdata": numbers} if has_numbers else {}
    figure.add_scatter(
        x=x,
        y=y,
        mode=mode,
        name=hover_text(name),
        text=[f"#{number}" for number in numbers],
        hovertemplate=f"<b>{hover_text(name)}</b> %{{text}}<br>{words}<extra></extra>",
        **look,
        **attributes,
    )
