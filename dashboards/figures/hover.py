"""The words shown over a candidate, the same in every figure. Foreign text is escaped."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboards.analysis.selection import records
from dashboards.frame import Objective, Results
from dashboards.text import count, hover_text, is_missing, number, whole


def describe(row: Mapping[str, Any], *, results: Results) -> str:
    """Return the essentials of a candidate: shape, objectives, where it comes from, and how it failed."""
    lines = [f"<b>#{row['number']}</b>  {ancestry(row)}"]
    if not is_missing(row["pattern"]):
        lines.append(f"<b>{hover_text(row['pattern'], width=56, max_lines=4)}</b>")
    shape = [
        f"{label} {text}"
        for label, text, value in (
            ("width", whole(row["hidden_size"]), row["hidden_size"]),
            ("depth", whole(row["depth"]), row["depth"]),
            ("parameters", count(row["num_parameters"]), row["num_parameters"]),
        )
        if not is_missing(value)
    ]
    if shape:
        lines.append(" · ".join(shape))
    lines += [
        f"{hover_text(objective.label)} {number(row[objective.column])} {hover_text(objective.unit)}".rstrip()
        for objective in results.objectives
        if not is_missing(row[objective.column])
    ]
    if not is_missing(row["deviation"]):
        evaluations = whole(row["num_evaluations"])
        spread = number(row["deviation"])
        lines.append(f"{hover_text(results.objectives[0].label)}: mean of {evaluations} seeds, deviation {spread}")
    if not is_missing(row["expected"]):
        lines.append(f"Stopped early; {hover_text(results.objectives[0].label)} {number(row['expected'])} expected")
    if not is_missing(row["num_attempts"]) and row["num_attempts"] > 1:
        lines.append(f"Evaluation {whole(row['num_attempts'])} of it; those before were lost or overdue")
    if not is_missing(row["measured_latency_ms"]):
        lines.append(f"Measured whole {number(row['measured_latency_ms'])} ms")
    if not is_missing(row["failure_kind"]):
        lines.append(f"<b>{hover_text(row['failure_kind'])}</b>")
    if not is_missing(row["failure_message"]):
        lines.append(hover_text(row["failure_message"]))
    return "<br>".join(lines)


def brief(rows: pd.DataFrame, *, y: Objective, x: Objective | None = None) -> dict[str, Any]:
    """Return the trace attributes of a short hover: number and coordinates.

    For marks so many that full descriptions would swell the page: the browser fills the words in.
    """
    lines = ["<b>#%{customdata}</b>", f"{hover_text(y.label)} %{{y:.4~g}} {hover_text(y.unit)}"]
    if x is not None:
        lines.append(f"{hover_text(x.label)} %{{x:.4~g}} {hover_text(x.unit)}")
    return {"customdata": rows["number"].to_numpy(), "hovertemplate": "<br>".join(lines) + "<extra></extra>"}


def full(rows: pd.DataFrame, *, results: Results) -> dict[str, Any]:
    """Return the trace attributes of a hover that describes each candidate."""
    return {"hovertext": [describe(row, results=results) for row in records(rows)], "hoverinfo": "text"}


def compact(values: "pd.Series[float]") -> NDArray[np.floating[Any]]:
    """Return coordinates in the form that takes least room in a page; seven digits are plenty for a picture."""
    exact = values.to_numpy(dtype=np.float64)
    size = np.abs(exact[np.isfinite(exact) & (exact != 0)])
    limits = np.finfo(np.float32)
    if size.size and (size.max() > limits.max or size.min() < limits.tiny):
        return exact
    return exact.astype(np.float32)


def ancestry(row: Mapping[str, Any]) -> str:
    """Return where a candidate comes from, escaped: `mutation of #12: ffn ratio`."""
    words = str(row["origin"])
    if not is_missing(row["parent"]):
        words += f" of #{whole(row['parent'])}"
    if not is_missing(row["mutation"]):
        words += f": {hover_text(row['mutation'], max_lines=2)}"
    return words
