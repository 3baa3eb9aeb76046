"""Every candidate as a table: the twin of the figures for those who read numbers, or cannot see pictures.

`assets/table.js` sorts it in the browser; without scripts it is still the whole table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from dashboards.elements import Element, Node, element, slot
from dashboards.frame import Results
from dashboards.selection import candidates, records
from dashboards.text import common_decimals, count, is_missing, number, whole

MAX_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    title: str
    column: str
    write: Callable[[object], str]
    is_number: bool = True


def candidates_table(results: Results) -> Element:
    """Return the table, best first: the frontier, then by the first objective, then what has no score.

    Of very many candidates, the best `MAX_ROWS`, and a line that says so.
    """
    rows = _in_order(results)
    fields = _fields(results)
    head = element(
        "tr",
        *(
            element(
                "th",
                element("button", entry.title, type="button"),
                scope="col",
                class_="number" if entry.is_number else "word",
            )
            for entry in fields
        ),
    )
    body = [_row(row, fields) for row in records(rows.head(MAX_ROWS))]
    words = f"{len(rows):,} candidates. Frontier members are marked ◆. Press a heading to sort."
    if len(rows) > MAX_ROWS:
        words = f"The best {MAX_ROWS:,} of {len(rows):,} candidates. Frontier members are marked ◆."
    table = element(
        "table",
        element("caption", words),
        element("thead", head),
        element("tbody", *body),
        class_="sortable",
    )
    return slot("table", "div", table, class_="table-frame", tabindex="0", role="region", aria_label="All candidates")


def _fields(results: Results) -> list[_Field]:
    trials = results.trials
    objectives = [
        _Field(title=f"{entry.label} {entry.unit}".strip(), column=entry.column, write=_aligned(trials[entry.column]))
        for entry in results.objectives
    ]
    all_fields = [
        _Field(title="No.", column="number", write=whole),
        _Field(title="Status", column="status", write=_word, is_number=False),
        _Field(title="Origin", column="origin", write=_word, is_number=False),
        *objectives,
        _Field(title="Measured ms", column="measured_latency_ms", write=_aligned(trials["measured_latency_ms"])),
        _Field(title="Bits/byte", column="bits_per_byte", write=_aligned(trials["bits_per_byte"])),
        _Field(title="Width", column="hidden_size", write=whole),
        _Field(title="Depth", column="depth", write=whole),
        _Field(title="Parameters", column="num_parameters", write=count),
        _Field(title="Pattern", column="pattern", write=_word, is_number=False),
    ]
    optional = {"measured_latency_ms", "bits_per_byte", "hidden_size", "depth", "num_parameters", "pattern"}
    return [entry for entry in all_fields if entry.column not in optional or trials[entry.column].notna().any()]


def _in_order(results: Results) -> pd.DataFrame:
    rows = candidates(results)
    first = results.objectives[0].column
    keys = pd.DataFrame({"frontier": ~rows["is_frontier"].astype(bool), "score": rows[first], "number": rows["number"]})
    return rows.loc[keys.sort_values(["frontier", "score", "number"]).index]


def _row(row: dict[str, Any], fields: list[_Field]) -> Element:
    cells: list[Node] = []
    for entry in fields:
        value = row[entry.column]
        children: list[Node] = [entry.write(value)]
        sort_key = "" if is_missing(value) else str(value)
        if entry.column == "number":
            mark = "◆ " if row["is_frontier"] else ""
            cells.append(element("th", mark, *children, scope="row", class_="number", data_sort=sort_key))
            continue
        kind = "number" if entry.is_number else "word"
        if entry.column == "status":
            kind += f" status-{value}"
        elif entry.column == "origin" and not is_missing(row["parent"]):
            children.append(element("small", f" of #{whole(row['parent'])}"))
        elif entry.column == "pattern":
            kind += " pattern"
            children = [element("code", *children)]
        if entry is fields[-1] and not is_missing(row["failure_kind"]):
            message = "" if is_missing(row["failure_message"]) else str(row["failure_message"])
            words = f"{row['failure_kind']}: {_cut(message)}"
            children.append(element("small", words, class_="failure", title=message))
        cells.append(element("td", *children, class_=kind, data_sort=sort_key))
    return element("tr", *cells, class_="frontier" if row["is_frontier"] else "other")


def _aligned(values: "pd.Series[float]") -> Callable[[object], str]:
    return partial(number, decimals=common_decimals(values))


def _word(value: object) -> str:
    return "–" if is_missing(value) else str(value)


def _cut(message: str, *, most: int = 90) -> str:
    flat = " ".join(message.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
