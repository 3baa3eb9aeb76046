"""How the search goes: hypervolume on the left, on the right the best first objective, over candidates or over time.

The two grounds tell the random start from what evolution proposed. What the two halves are worth against each other is
another question, answered in `comparison.py`. Time is that of work: `pace.py` says what a break is.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboards import palette
from dashboards.analysis.best_under_budget import Budget
from dashboards.analysis.common_hypervolume import common_hypervolumes
from dashboards.analysis.pace import Break, ended, working_time
from dashboards.figures.grounds import mark_breaks, shade_origins
from dashboards.figures.hover import brief, compact
from dashboards.figures.log_axis import log_axis
from dashboards.figures.marks import ORIGIN_GROUPS, SYMBOLS
from dashboards.figures.theme import new_figure, say_instead
from dashboards.frame import Objective, Results
from dashboards.text import hover_text
from dashboards.view import Over

_SPLIT: Final = (0.47, 0.55)
"""Where the left picture ends and the right one begins."""

_LARGE: Final = 1000
_MAX_OVERLAID: Final = 4
_DASHES: Final = ("dash", "dot", "dashdot", "longdashdot")
_TAIL: Final = 4.0
"""Candidates further from the best than so many times the middle one are not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Course:
    """One study in the order of its results."""

    rows: pd.DataFrame
    position: "pd.Series[float]"
    hypervolume: "pd.Series[float]"
    """By the same index; of finished candidates or of all."""

    breaks: tuple[Break, ...]


def progress_figure(
    results: Results,
    *,
    over: Over = "candidates",
    budget: Budget | None = None,
    overlaid: Mapping[str, Results] = MappingProxyType({}),
) -> go.Figure:
    """Draw both pictures.

    Args:
        results: of the study in front.
        over: what to draw them over.
        budget: draws the best candidate within it, too.
        overlaid: further studies by name; those with the same first objective are drawn as lines.
    """
    figure = new_figure(height=430)
    course = _course(results, over)
    if not (course.rows["status"] == "finished").any():
        return say_instead(figure, "No candidate has finished yet.")
    quality = results.objectives[0]
    others = {name: _course(other, over) for name, other in list(_alike(results, overlaid).items())[:_MAX_OVERLAID]}
    common = _in_common(results, course, {name: overlaid[name] for name in others}, others)
    volumes = [course.hypervolume] if common is None else common
    last = max(float(entry.position.iloc[-1]) for entry in (course, *others.values()) if len(entry.position))
    shade_origins(figure, course.rows, course.position, last=last, before=0.5 if over == "candidates" else 0.0)
    mark_breaks(figure, course.breaks, last=last)
    _add_line(figure, course, volumes[0], _Line(name="hypervolume", axis="", what="hypervolume"))
    ceiling = _ceiling([course, *others.values()], quality)
    _add_marks(figure, course, quality, ceiling)
    what = f"best {hover_text(quality.label.lower())}"
    _add_best(figure, course, quality, _Line(name="best so far", axis="2", what=what), ceiling)
    if budget is not None:
        within = course.rows[course.rows[budget.objective.column] <= budget.most]
        line = _Line(
            name=f"best at {budget.words}", axis="2", what=f"best at {budget.words}", dash="dash", colour=palette.INK
        )
        _add_best(figure, course, quality, line, ceiling, rows=within)
    colours = palette.ramp(_MAX_OVERLAID)
    for index, (name, other) in enumerate(others.items()):
        look: dict[str, Any] = {"name": hover_text(name, max_lines=1), "dash": _DASHES[index], "colour": colours[index]}
        if common is not None:
            _add_line(figure, other, common[index + 1], _Line(axis="", what="hypervolume", is_named=False, **look))
        _add_best(figure, other, quality, _Line(axis="2", what=what, **look), ceiling)
    _lay_out(figure, results, over=over, last=last, is_common=common is not None)
    if others and common is None:
        _note(figure, "Hypervolumes of these studies cannot be compared.", x=_SPLIT[0], y=0.02)
    return figure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """What a line is called and looks like."""

    name: str
    axis: str
    what: str
    dash: str = "solid"
    colour: str = palette.ACCENT
    is_named: bool = True


def _course(results: Results, over: Over) -> _Course:
    rows = ended(results)
    if over == "time":
        time = working_time(results)
        # In the order of time; what has no time cannot be drawn over it.
        rows = rows.loc[time.hours.index[time.hours.index.isin(rows.index)]]
        position, breaks = time.hours.loc[rows.index], time.breaks
    else:
        position, breaks = pd.Series(np.arange(1.0, len(rows) + 1), index=rows.index), ()
    return _Course(rows=rows, position=position, hypervolume=rows["hypervolume"].astype("float64"), breaks=breaks)


def _alike(results: Results, overlaid: Mapping[str, Results]) -> dict[str, Results]:
    first = results.objectives[0].column
    return {name: other for name, other in overlaid.items() if other.objectives[0].column == first}


def _in_common(
    results: Results, course: _Course, overlaid: Mapping[str, Results], others: Mapping[str, _Course]
) -> list["pd.Series[float]"] | None:
    """Return the hypervolumes of all studies in one box; none without others, or where they cannot be compared."""
    columns = {objective.column for objective in results.objectives}
    if not others or any({entry.column for entry in other.objectives} != columns for other in overlaid.values()):
        return None
    return common_hypervolumes([course.rows, *(other.rows for other in others.values())], objectives=results.objectives)


def _add_line(figure: go.Figure, course: _Course, volumes: "pd.Series[float]", line: _Line) -> None:
    known = volumes.dropna()
    _add_steps(figure, known[known.diff().fillna(1.0) != 0], course, line)


def _add_best(
    figure: go.Figure,
    course: _Course,
    quality: Objective,
    line: _Line,
    ceiling: float,
    *,
    rows: pd.DataFrame | None = None,
) -> None:
    best = _finished(course.rows if rows is None else rows, quality).cummin()
    best = best[best.diff().fillna(-1.0) < 0]
    _add_steps(figure, best[best <= ceiling], course, line)


def _add_steps(figure: go.Figure, steps: "pd.Series[float]", course: _Course, line: _Line) -> None:
    """Draw a line of steps by the points where it changes; it goes on to the last result."""
    x = course.position.reindex(steps.index).to_numpy()
    y = steps.to_numpy()
    numbers = course.rows.loc[steps.index, "number"].to_numpy(dtype=np.int64)
    if len(x) and x[-1] < course.position.iloc[-1]:
        x, y, numbers = (np.append(x, course.position.iloc[-1]), np.append(y, y[-1]), np.append(numbers, numbers[-1]))
    figure.add_scatter(
        x=x,
        y=y,
        xaxis=f"x{line.axis}",
        yaxis=f"y{line.axis}",
        mode="lines",
        line={"shape": "hv", "width": 2.2, "color": line.colour, "dash": line.dash},
        name=line.name,
        legendgroup=line.name,
        showlegend=line.is_named,
        customdata=numbers,
        hovertemplate=f"<b>{line.name}</b><br>{line.what} %{{y:.4~g}}, by #%{{customdata}}<extra></extra>",
    )


def _add_marks(figure: go.Figure, course: _Course, quality: Objective, ceiling: float) -> None:
    values = _finished(course.rows, quality)
    is_beyond = values > ceiling
    if is_beyond.any():
        _note(figure, f"{is_beyond.sum():,} worse than drawn", x=1.0, y=0.99)
    rows = course.rows.loc[values.index[~is_beyond]]
    is_large = len(rows) > _LARGE
    add = figure.add_scattergl if is_large else figure.add_scatter
    for name, origins in ORIGIN_GROUPS.items():
        group = rows[rows["origin"].isin(origins)]
        if group.empty:
            continue
        add(
            x=compact(course.position.loc[group.index]),
            y=compact(group[quality.column].astype("float64")),
            xaxis="x2",
            yaxis="y2",
            mode="markers",
            name=name,
            marker={
                "symbol": f"{SYMBOLS[origins[0]]}-open",
                "size": 4 if is_large else 6.5,
                "color": palette.FAINT,
                "line": {"width": 1 if is_large else 1.3},
            },
            **brief(group, y=quality),
        )


def _lay_out(figure: go.Figure, results: Results, *, over: Over, last: float, is_common: bool) -> None:
    quality = results.objectives[0]
    title = "Candidates evaluated" if over == "candidates" else "Hours of search, without breaks"
    # Grounds and marks take no room of their own beyond the first and the last result.
    ends = {
        "minallowed": 0.4 if over == "candidates" else 0.0,
        "maxallowed": last + 0.6 if over == "candidates" else 1.012 * last,
    }
    across = {"title": {"text": title}, "autorangeoptions": ends}
    drawn = [
        end for trace in figure.data if trace.yaxis == "y2" and len(trace.y) for end in (min(trace.y), max(trace.y))
    ]
    upright = log_axis([float(end) for end in drawn if end > 0]) if quality.log else {"type": "linear"}
    figure.update_layout(
        uirevision=f"progress-{over}",
        margin={"l": 64, "r": 24, "t": 62, "b": 56},
        xaxis=across | {"domain": [0, _SPLIT[0]]},
        xaxis2=across | {"domain": [_SPLIT[1], 1], "anchor": "y2", "matches": "x"},
        yaxis={"title": {"text": "Hypervolume in a common box" if is_common else "Hypervolume"}},
        yaxis2={
            "title": {"text": quality.title},
            "anchor": "x2",
            **upright,
        },
    )


def _ceiling(courses: Iterable[_Course], quality: Objective) -> float:
    """Return above which nothing is drawn, so that a few candidates that went wrong do not flatten the others."""
    highest = -math.inf
    for course in courses:
        values = _finished(course.rows, quality)
        if values.empty:
            continue
        low, high = float(values.min()), float(values.max())
        ceiling = low + _TAIL * (float(values.median()) - low)
        highest = max(highest, high if ceiling <= low else min(ceiling, high))
    return highest


def _finished(rows: pd.DataFrame, quality: Objective) -> "pd.Series[float]":
    values = rows.loc[rows["status"] == "finished", quality.column].astype("float64")
    return values[np.isfinite(values)]


def _note(figure: go.Figure, text: str, *, x: float, y: float) -> None:
    figure.add_annotation(
        text=text,
        x=x,
        y=y,
        xref="paper",
        yref="paper",
        xanchor="right",
        yanchor="top" if y > 0.5 else "bottom",
        showarrow=False,
        font={"size": 12, "color": palette.MUTED},
    )
