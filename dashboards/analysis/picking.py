"""Which candidates ranges of their columns pick out, and the columns there are to pick by.

What the browser does in `assets/brush.js` while a reader drags is the same; here is what a link asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboards.analysis.axes import LOG_RATIO
from dashboards.analysis.genes import genes_of
from dashboards.analysis.selection import with_status
from dashboards.frame import Objective, Results
from dashboards.text import count, number

MAX_AXES: Final = 12
TOLERANCE: Final = 1e-5
"""Share of the largest value by which a candidate may lie outside a range, for a link holds six digits of its ends."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParallelAxis:
    """One column of the parallel coordinates."""

    name: str
    label: str
    unit: str
    values: NDArray[np.float64]
    """One a candidate; NaN where not known."""

    low: float
    high: float
    is_log: bool
    is_whole: bool
    """Whether all values are whole numbers."""

    is_objective: bool

    @property
    def slack(self) -> float:
        """How far beyond a range a value still counts as inside."""
        return TOLERANCE * max(abs(self.low), abs(self.high))

    def within(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return places on the axis, 0 at its low end and 1 at its high end."""
        low, high = self.low, self.high
        if self.is_log:
            values, low, high = np.log(values), float(np.log(low)), float(np.log(high))
        return (values - low) / (high - low)

    def written(self, value: float) -> str:
        """Return a value of the axis as people read it."""
        if self.name == "num_parameters":
            return count(value)
        text = f"{value:,.0f}" if self.is_whole else number(value)
        return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """The finished candidates, those off the frontier first, and their columns."""

    rows: pd.DataFrame
    is_frontier: NDArray[np.bool_]
    axes: tuple[ParallelAxis, ...]
    num_without: int
    """Finished candidates without a value of the first two objectives."""

    num_garbled: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Picked:
    """What a brush picks out of the candidates."""

    ranges: Mapping[str, tuple[float, float]]
    """Those that can be followed, by the axis's name."""

    unknown: tuple[str, ...]
    """Columns asked for that are no axis."""

    mask: NDArray[np.bool_]
    """One a candidate; all of them without ranges."""


def candidates_to_pick(results: Results) -> Candidates:
    """Return the candidates to pick from."""
    finished = with_status(results, "finished")
    first = [objective.column for objective in results.objectives[:2]]
    placed = finished[np.isfinite(finished[first].to_numpy(dtype=float)).all(axis=1)]
    rows = placed.sort_values("is_frontier", kind="stable")
    found = genes_of(results.trials)
    places = pd.Index(results.trials["number"]).get_indexer(rows["number"])
    shape = [_axis(gene.name, gene.label, gene.values[places]) for gene in found.genes if gene.is_number]
    ends = [_objective_axis(objective, rows) for objective in reversed(results.objectives)]
    if "num_parameters" not in {objective.column for objective in results.objectives}:
        parameters = rows["num_parameters"].to_numpy(dtype=float, na_value=np.nan)
        ends.insert(0, _axis("num_parameters", "Parameters", parameters))
    last = [axis for axis in ends if axis is not None]
    names = {axis.name for axis in last}
    first_axes = [axis for axis in shape if axis is not None and axis.name not in names]
    return Candidates(
        rows=rows,
        is_frontier=rows["is_frontier"].to_numpy(dtype=bool),
        axes=(*first_axes[: max(0, MAX_AXES - len(last))], *last),
        num_without=len(finished) - len(placed),
        num_garbled=found.num_garbled,
    )


def pick(candidates: Candidates, brush: Mapping[str, tuple[float, float]]) -> Picked:
    """Return what lies inside all ranges; a candidate without a value lies outside."""
    axes = {axis.name: axis for axis in candidates.axes}
    mask = np.ones(len(candidates.rows), dtype=bool)
    ranges = {name: ends for name, ends in brush.items() if name in axes}
    for name, (low, high) in ranges.items():
        axis = axes[name]
        mask &= (axis.values >= low - axis.slack) & (axis.values <= high + axis.slack)
    return Picked(ranges=ranges, unknown=tuple(name for name in brush if name not in axes), mask=mask)


def _objective_axis(objective: Objective, rows: pd.DataFrame) -> ParallelAxis | None:
    values = rows[objective.column].to_numpy(dtype=float, na_value=np.nan)
    return _axis(objective.column, objective.label, values, objective=objective)


def _axis(
    name: str, label: str, values: NDArray[np.float64], *, objective: Objective | None = None
) -> ParallelAxis | None:
    """Return the axis of a column; none where nothing varies along it."""
    known = values[np.isfinite(values)]
    if not known.size or known.min() == known.max():
        return None
    low, high = float(known.min()), float(known.max())
    is_wide = low > 0 and high / low > LOG_RATIO
    return ParallelAxis(
        name=name,
        label=label[:1].upper() + label[1:],
        unit=objective.unit if objective else "",
        values=values,
        low=low,
        high=high,
        is_log=low > 0 and (is_wide or bool(objective and objective.log)),
        is_whole=bool(np.all(known == np.round(known))),
        is_objective=objective is not None,
    )
