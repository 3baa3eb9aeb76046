"""What a pick may cost: the reader's budget, else a limit of the study, else what its knee costs.

Not what is drawn of it: figures do that.
"""

from dataclasses import dataclass

import pandas as pd

from dashboards.analysis.light import light_candidates
from dashboards.frame import Objective, Results
from dashboards.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Most of one objective that a pick may cost."""

    objective: Objective
    most: float
    origin: str
    """Where it comes from, in words."""

    @property
    def words(self) -> str:
        """Such as `≤ 2.3 ms`, or with the objective's name where it has no unit."""
        return f"≤ {self.most:,.4g} {self.objective.unit or self.objective.label.lower()}"


def budget_of(results: Results, view: View) -> Budget | None:
    """Return the budget; none where nothing says what one could be."""
    objective = _priced(results, view)
    if objective is None:
        return None
    if view.budget is not None:
        return Budget(objective=objective, most=view.budget, origin="chosen by you")
    limit = results.limits.get(objective.column)
    # Where nothing above the limit is ever evaluated, the best within it is the best of all.
    if limit is not None and (light_candidates(results, "finished")[objective.column] > limit).any():
        return Budget(objective=objective, most=limit, origin="the limit of the study")
    knee = results.trials.loc[results.trials["number"] == results.knee, objective.column].dropna()
    return Budget(objective=objective, most=float(knee.iloc[0]), origin="what the knee costs") if len(knee) else None


def affordable(results: Results, budget: Budget) -> pd.DataFrame:
    """Return the finished candidates within the budget, without long texts."""
    rows = light_candidates(results, "finished")
    return rows[rows[budget.objective.column] <= budget.most]


def _priced(results: Results, view: View) -> Objective | None:
    """Return what is drawn to the right where that is an objective, else the second one."""
    others = results.objectives[1:]
    return next((entry for entry in others if entry.column == view.x), others[0] if others else None)
