"""What candidates can be drawn over: the numeric columns of a study, and the two that a reader chose.

Draws nothing; how an axis looks is `figures/axis_style.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import pandas as pd

from dashboards.analysis.selection import is_candidate
from dashboards.frame import COLUMNS, KNOWN_OBJECTIVES, Objective, Results
from dashboards.view import Scale, View

LOG_RATIO: Final = 20
"""A column whose largest value is more than this multiple of its smallest gets a logarithmic axis by itself."""

PLAIN_COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "num_parameters": ("Parameters", ""),
    "depth": ("Depth", "operators"),
    "hidden_size": ("Width", ""),
    "bits_per_byte": ("Bits per byte", ""),
    "validation_loss": ("Validation loss", "nats per token"),
    "measured_latency_ms": ("Measured latency", "ms"),
    "tokens_seen": ("Training tokens", ""),
    "train_seconds": ("Training time", "s"),
    "finish_index": ("Order of finishing", ""),
}
"""Label and unit of the columns that every study has, in the order to offer."""

WHOLE_COLUMNS: Final = frozenset({"num_parameters", "depth", "hidden_size", "tokens_seen", "finish_index"})
"""Columns that count something; large ones are written short (1.24 B)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A column that candidates are drawn over."""

    column: str
    label: str
    """Foreign text: the study names its objectives."""

    unit: str = ""
    is_objective: bool = False
    """Whether the study minimises it."""

    is_log: bool = False

    @property
    def title(self) -> str:
        """Label with unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def position(self, value: float) -> float:
        """Return where a value stands, in the axis's own measure: its exponent where it is logarithmic.

        Raises:
            ValueError: the axis is logarithmic and the value not above zero.
        """
        return math.log10(value) if self.is_log else value

    @property
    def is_count(self) -> bool:
        """Whether its values are whole numbers."""
        return self.column in WHOLE_COLUMNS


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The two axes of a picture."""

    x: Axis
    y: Axis
    complaints: tuple[str, ...] = ()
    """What was asked for and cannot be drawn, in sentences."""


def axis_choices(results: Results) -> list[Axis]:
    """Return what candidates can be drawn over: objectives first, then every other column that holds numbers."""
    chosen = {objective.column: _of_objective(objective) for objective in results.objectives}
    trials = results.trials
    for name, (label, unit) in PLAIN_COLUMNS.items():
        if name not in chosen and trials[name].notna().any():
            chosen[name] = Axis(column=name, label=label, unit=unit)
    contract = {column.name for column in COLUMNS}
    for name in map(str, trials.columns):
        if name not in chosen and name not in contract and values_of(trials, name).notna().any():
            known = KNOWN_OBJECTIVES.get(name, Objective(column=name, label=name.replace("_", " ")))
            chosen[name] = Axis(column=name, label=known.label, unit=known.unit)
    return list(chosen.values())


def chosen_axes(results: Results, view: View) -> Axes:
    """Return the axes of a view; a column that is not there is replaced by the default one and complained of."""
    known = {axis.column: axis for axis in axis_choices(results)}
    objectives = [objective.column for objective in results.objectives]
    defaults = {"x": objectives[1] if len(objectives) > 1 else "finish_index", "y": objectives[0]}
    complaints = []
    found = {}
    for name, asked, scale in (("x", view.x, view.x_scale), ("y", view.y, view.y_scale)):
        if asked and asked not in known:
            complaints.append(
                f"The study has no numbers in a column {asked!r} to draw over; there are {', '.join(known)}."
            )
        column = asked if asked in known else defaults[name]
        # Before anything has finished, the order of finishing is no choice yet, but still the default.
        axis = known.get(column) or Axis(column=column, label=PLAIN_COLUMNS[column][0])
        found[name] = _scaled(axis, results, scale=scale)
    return Axes(x=found["x"], y=found["y"], complaints=tuple(complaints))


def values_of(rows: pd.DataFrame, column: str) -> "pd.Series[float]":
    """Return a column as finite numbers; whatever is none becomes missing."""
    numbers = pd.to_numeric(rows[column], errors="coerce").astype("Float64").astype("float64")
    return numbers.where(numbers.abs() < math.inf)


def _of_objective(objective: Objective) -> Axis:
    return Axis(
        column=objective.column,
        label=objective.label,
        unit=objective.unit,
        is_objective=True,
        is_log=objective.log,
    )


def _scaled(axis: Axis, results: Results, *, scale: Scale) -> Axis:
    if scale == "auto":
        values = values_of(results.trials, axis.column)[is_candidate(results.trials)].dropna()
        is_positive = values.empty or float(values.min()) > 0
        spreads = not values.empty and is_positive and float(values.max()) > LOG_RATIO * float(values.min())
        is_log = is_positive and (axis.is_log if axis.is_objective else spreads and axis.column != "finish_index")
    else:
        is_log = scale == "log"
    return replace(axis, is_log=is_log)
