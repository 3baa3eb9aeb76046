"""The words shown over a candidate, the same in every figure. Foreign text is escaped."""

from collections.abc import Mapping
from typing import Any

from dashboards.frame import Results
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
    if not is_missing(row["failure_kind"]):
        lines.append(f"<b>{hover_text(row['failure_kind'])}</b>")
    if not is_missing(row["failure_message"]):
        lines.append(hover_text(row["failure_message"]))
    return "<br>".join(lines)


def ancestry(row: Mapping[str, Any]) -> str:
    """Return where a candidate comes from, escaped: `mutation of #12: ffn ratio`."""
    words = str(row["origin"])
    if not is_missing(row["parent"]):
        words += f" of #{whole(row['parent'])}"
    if not is_missing(row["mutation"]):
        words += f": {hover_text(row['mutation'], max_lines=2)}"
    return words
