"""Candidates placed over two axes: what the picture of the frontier, its budget and its words are made from.

Draws nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import pandas as pd

from dashboards.analysis.axes import Axes, Axis, chosen_axes, values_of
from dashboards.analysis.filters import shown
from dashboards.analysis.selection import is_candidate, is_member, records
from dashboards.figures.hover import describe
from dashboards.frame import Objective, Results
from dashboards.text import count, number
from dashboards.view import View

ACROSS: Final = "place across"
UP: Final = "place up"
"""Columns of the coordinates, apart from any that a study names."""

COLUMNS_NEEDED: Final = ("number", "status", "origin", "is_frontier", "pattern", "deviation", "expected")

CROWD: Final = 500
"""More candidates than this are drawn small, by WebGL, and described briefly."""

MISSING_SCORE: Final = ("failed", "infeasible", "stopped", "running")
"""Statuses of candidates that keep a place without a score, in a strip above the plane."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """The candidates of a study over the axes of a view."""

    results: Results
    view: View
    axes: Axes

    everyone: pd.DataFrame
    """All candidates: `COLUMNS_NEEDED`, the objectives, and coordinates (`ACROSS`, `UP`; missing where there are none).
    Indexed as the trials of the results are."""

    rows: pd.DataFrame
    """Those of them that the filters leave."""

    @property
    def x(self) -> Axis:
        """The axis to the right."""
        return self.axes.x

    @property
    def y(self) -> Axis:
        """The axis upwards."""
        return self.axes.y

    @property
    def is_crowd(self) -> bool:
        """Whether there are too many candidates to describe each."""
        return len(self.rows) > CROWD

    @property
    def is_trade_off(self) -> bool:
        """Whether the frontier over all objectives is a line in this plane."""
        columns = [objective.column for objective in self.results.objectives]
        return len(columns) == 2 and {self.x.column, self.y.column} == set(columns)

    @cached_property
    def placed(self) -> pd.DataFrame:
        """Candidates with both coordinates that ended."""
        has_place = self.rows[ACROSS].notna() & self.rows[UP].notna()
        return self.rows[has_place & (self.rows["status"] != "running")]

    @cached_property
    def frontier(self) -> pd.DataFrame:
        """Members of the frontier among those placed, from left to right."""
        members = self.placed[is_member(self.placed)]
        return members.sort_values([ACROSS, "number"])

    @cached_property
    def whole_frontier(self) -> pd.DataFrame:
        """Members of the frontier with both coordinates whether filtered out or not, from left to right."""
        members = self.everyone[is_member(self.everyone)]
        return members[members[ACROSS].notna() & members[UP].notna()].sort_values([ACROSS, "number"])

    @cached_property
    def without_score(self) -> pd.DataFrame:
        """Candidates that only have a place to the right, and will or do lack the other for a reason."""
        lacks = self.rows[ACROSS].notna() & (self.rows[UP].isna() | (self.rows["status"] == "running"))
        return self.rows[lacks & self.rows["status"].isin(MISSING_SCORE)]

    @cached_property
    def descriptions(self) -> Mapping[int, str]:
        """What is shown over a candidate, by number: of all that are drawn, or in a crowd of the frontier alone."""
        described = self.frontier if self.is_crowd else self.rows
        rows = records(self.results.trials.loc[described.index])
        return {row["number"]: describe(row, results=self.results) for row in rows}

    @property
    def num_without_place(self) -> int:
        """Candidates that the filters leave and the picture has no place for."""
        return len(self.rows) - len(self.placed) - len(self.without_score)

    @cached_property
    def span(self) -> tuple[float, float] | None:
        """Lowest and highest place to the right of what is drawn; none where nothing is."""
        across = pd.concat([self.placed[ACROSS], self.without_score[ACROSS]])
        return None if across.empty else (float(across.min()), float(across.max()))

    @cached_property
    def heights(self) -> tuple[float, float] | None:
        """Lowest and highest place upwards of what is drawn with one; none where nothing is."""
        up = self.placed[UP]
        return None if up.empty else (float(up.min()), float(up.max()))

    @property
    def pick_objective(self) -> Objective | None:
        """What a pick within a budget to the right is the best of; none where nothing is traded for it."""
        if not self.x.is_objective:
            return None
        return next((one for one in self.results.objectives if one.column != self.x.column), None)

    @cached_property
    def pick(self) -> pd.Series | None:
        """The candidate one would take within the budget; none without a budget, or with nothing within it."""
        objective, budget = self.pick_objective, self.view.budget
        if objective is None or budget is None:
            return None
        finished = self.rows[(self.rows["status"] == "finished") & (self.rows[ACROSS] <= budget)]
        scores = values_of(finished, objective.column).dropna()
        if scores.empty:
            return None
        best = finished.loc[scores.index[scores == scores.min()]]
        return best.sort_values([ACROSS, "number"]).iloc[0]

    @property
    def default_trial(self) -> int | None:
        """The candidate to describe where none was chosen: the pick, the knee, or the best of the first objective."""
        if self.pick is not None:
            return int(self.pick["number"])
        if self.results.knee is not None:
            return self.results.knee
        members = self.everyone[is_member(self.everyone)]
        if members.empty:
            return None
        return int(members.sort_values([self.results.objectives[0].column, "number"])["number"].iloc[0])


def plane_of(results: Results, view: View) -> Plane:
    """Return the candidates over the axes of a view."""
    axes = chosen_axes(results, view)
    trials = results.trials
    # The few columns that places need: selecting rows costs by the column.
    names = dict.fromkeys((*COLUMNS_NEEDED, *(objective.column for objective in results.objectives)))
    everyone = trials[list(names)][is_candidate(trials)]
    places = {
        ACROSS: _coordinates(trials, axes.x, results)[everyone.index],
        UP: _coordinates(trials, axes.y, results)[everyone.index],
    }
    everyone = everyone.assign(**places)
    return Plane(results=results, view=view, axes=axes, everyone=everyone, rows=shown(everyone, view))


def written(axis: Axis | Objective, value: float) -> str:
    """Return a value with its unit, as words and hovers carry it."""
    text = count(value) if isinstance(axis, Axis) and axis.is_count and value >= 1e4 else number(value)
    if isinstance(axis, Axis) and axis.is_count and value < 1e4:
        text = f"{value:,.0f}"
    return f"{text} {axis.unit}".rstrip()


def _coordinates(rows: pd.DataFrame, axis: Axis, results: Results) -> "pd.Series[float]":
    values = values_of(rows, axis.column)
    if axis.column == results.objectives[0].column:
        # What was stopped early stands where it would likely have ended.
        values = values.where(rows["status"] != "stopped", values_of(rows, "expected"))
    return values.where(values > 0) if axis.is_log else values
