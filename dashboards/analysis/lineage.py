"""The way from a candidate back to where its line began, and what each step brought.

Only along `parent`: a crossover's other parent is not recorded.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from dashboards.analysis.selection import records
from dashboards.frame import Objective, Results
from dashboards.text import is_missing, number

Verdict = Literal["better", "worse", "the same", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one step did to one objective."""

    amount: float | None
    """Child minus parent; none where one of them has no value."""

    share: float | None
    """The amount by the parent's value; none where there is none, or that is zero."""

    @property
    def verdict(self) -> Verdict:
        """Less is better."""
        if self.amount is None:
            return "unknown"
        return "the same" if self.amount == 0 else "better" if self.amount < 0 else "worse"

    def words(self, *, decimals: int | None, unit: str) -> str:
        """Return the change with its sign and its verdict."""
        if self.amount is None:
            return ""
        if self.amount == 0:
            return "the same"
        sign = "+" if self.amount > 0 else ""
        share = "" if self.share is None else f" ({self.share:+.1%})".replace("-", "−")
        return f"{sign}{number(self.amount, decimals=decimals)} {unit}".rstrip() + f"{share} {self.verdict}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A candidate and its ancestors."""

    rows: tuple[Mapping[str, Any], ...]
    """Oldest first, the candidate last."""

    break_words: str
    """Why it goes no further back, where that is no seed; empty where it is one."""


def line_of(results: Results, trial: int) -> Line:
    """Return the line of a trial that is among the results."""
    numbers = results.trials["number"]
    parents: dict[int, Any] = dict(zip(numbers.tolist(), results.trials["parent"].tolist(), strict=True))
    chain = [trial]
    words = ""
    while not is_missing(parents[chain[-1]]):
        parent = int(parents[chain[-1]])
        if parent not in parents:
            words = f"The parent #{parent} of #{chain[-1]} is not among the results."
            break
        if parent in chain:
            words = f"The parents go round in a circle: #{chain[-1]} names #{parent}, which comes from it."
            break
        chain.append(parent)
    found = {row["number"]: row for row in records(results.trials[numbers.isin(chain)])}
    return Line(rows=tuple(found[number] for number in reversed(chain)), break_words=words)


def change_of(parent: Mapping[str, Any], child: Mapping[str, Any], objective: Objective) -> Change:
    """Return what a step did to an objective."""
    before, after = (_value(row[objective.column]) for row in (parent, child))
    if before is None or after is None:
        return Change(amount=None, share=None)
    return Change(amount=after - before, share=(after - before) / abs(before) if before else None)


def _value(value: Any) -> float | None:
    return None if pd.isna(value) or not math.isfinite(value) else float(value)
