"""Every candidate as a table: the twin of the figures for those who read numbers, or cannot see pictures.

The rows go to the browser as columns of data, which `assets/table.js` draws, sorts and filters. Where no script runs, a
report shows the best `MAX_STILL` of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from dashboards.analysis.selection import candidates, records
from dashboards.elements import DataTable, Element, Node, element, inert_json
from dashboards.frame import Results
from dashboards.text import MISSING, common_decimals, count, is_missing, number, whole

MAX_STILL: Final = 250
"""Rows of the table that is read without scripts."""

_KEPT_AS_JSON: Final = {
    "architecture": "architecture",
    "genome": "genome",
    "latency_by_operator": "latency by operator",
    "curve": "learning curve",
}
_BESIDE: Final = ("number", "status", "origin", "parent", "is_frontier", "failure_kind", "failure_message")
"""Columns that are shown beside others, or decide the order."""

Kind = Literal["trial", "number", "word", "code"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    title: str
    column: str
    kind: Kind
    decimals: int | None = None
    """Of numbers; none where each has four significant digits."""

    form: Literal["", "count"] = ""
    is_quick: bool = False
    """Whether there is a button for each of its words."""


def candidates_table(results: Results) -> DataTable:
    """Return the table, best first: the frontier, then by the first objective, then what has no score."""
    rows = _in_order(results)
    fields = _fields(results)
    data = {
        "columns": [_column(rows, entry) for entry in fields],
        "size": len(rows),
        "best": np.flatnonzero(rows["is_frontier"].to_numpy(dtype=bool)).tolist(),
        "broken": {str(position): words for position, words in _broken(rows).items()},
        "linked": True,
    }
    return DataTable(
        name="candidates", label="All candidates", data=inert_json(data), still=partial(_still, rows, fields)
    )


def _fields(results: Results) -> list[_Field]:
    trials = results.trials
    objectives = [
        _Field(
            title=f"{entry.label} {entry.unit}".strip(),
            column=entry.column,
            kind="number",
            decimals=common_decimals(trials[entry.column]),
        )
        for entry in results.objectives
    ]
    drawn = {entry.column for entry in results.objectives}
    always = [
        _Field(title="No.", column="number", kind="trial"),
        _Field(title="Status", column="status", kind="word", is_quick=True),
        _Field(title="Origin", column="origin", kind="word", is_quick=True),
        *objectives,
    ]
    optional = [
        _Field(
            title="Measured ms",
            column="measured_latency_ms",
            kind="number",
            decimals=common_decimals(trials["measured_latency_ms"]),
        ),
        _Field(
            title="Bits/byte", column="bits_per_byte", kind="number", decimals=common_decimals(trials["bits_per_byte"])
        ),
        _Field(title="Width", column="hidden_size", kind="number", decimals=0),
        _Field(title="Depth", column="depth", kind="number", decimals=0),
        _Field(title="Parameters", column="num_parameters", kind="number", form="count"),
        _Field(title="Pattern", column="pattern", kind="code"),
    ]
    return always + [entry for entry in optional if entry.column not in drawn and trials[entry.column].notna().any()]


def _in_order(results: Results) -> pd.DataFrame:
    """Return the candidates, best first, with the columns that are shown."""
    first = results.objectives[0].column
    wanted = {entry.column for entry in _fields(results)} | {*_BESIDE, *_KEPT_AS_JSON, first}
    rows = candidates(results)[sorted(wanted)]
    keys = pd.DataFrame({"frontier": ~rows["is_frontier"].astype(bool), "score": rows[first], "number": rows["number"]})
    garbled = pd.DataFrame({name: _is_garbled(rows[name]) for name in _KEPT_AS_JSON}, index=rows.index)
    # The long texts are not carried along: only whether they are whole is shown.
    rows = rows.drop(columns=list(_KEPT_AS_JSON)).join(garbled)
    return rows.loc[keys.sort_values(["frontier", "score", "number"]).index]


def _column(rows: pd.DataFrame, entry: _Field) -> dict[str, Any]:
    """Return one column as the browser takes it."""
    found: dict[str, Any] = {"title": entry.title, "kind": entry.kind}
    values = rows[entry.column]
    if entry.kind in ("word", "code"):
        codes, words = pd.factorize(values, use_na_sentinel=True)
        found |= {
            "words": [str(word) for word in words],
            "values": [None if code < 0 else code for code in codes.tolist()],
        }
    else:
        found |= {"values": _numbers(values, decimals=entry.decimals)}
    if entry.decimals is not None:
        found["decimals"] = entry.decimals
    if entry.form:
        found["form"] = entry.form
    if entry.is_quick:
        found["quick"] = True
    if entry.column == "origin":
        found |= {"note": "of #%", "notes": _numbers(rows["parent"], decimals=0)}
    return found


def _numbers(values: "pd.Series[Any]", *, decimals: int | None) -> list[float | int | None]:
    """Return numbers as JSON holds them, a few digits finer than they are shown, so that they sort as they are."""
    missing = values.isna().to_numpy()
    if pd.api.types.is_integer_dtype(values.dtype):
        integers = values.fillna(0).to_numpy(dtype="int64").tolist()
        return [None if is_gone else amount for is_gone, amount in zip(missing, integers, strict=True)]
    amounts = values.to_numpy(dtype="float64", na_value=np.nan)
    shown = np.round(amounts, decimals + 3).tolist() if decimals is not None else amounts.tolist()
    return [None if is_gone else amount for is_gone, amount in zip(missing, shown, strict=True)]


def _broken(rows: pd.DataFrame) -> dict[int, str]:
    """Return what went wrong, by position: failures, and trials of which something kept as JSON is garbled."""
    found: dict[int, str] = {}
    positions = np.flatnonzero(rows["failure_kind"].notna().to_numpy())
    failed = rows.iloc[positions]
    for position, kind, message in zip(
        positions.tolist(), failed["failure_kind"].tolist(), failed["failure_message"].tolist(), strict=True
    ):
        found[position] = _failure(kind, message)
    for column, name in _KEPT_AS_JSON.items():
        for position in np.flatnonzero(rows[column].to_numpy(dtype=bool)).tolist():
            before = found.get(position)
            found[position] = f"{before}; its {name} cannot be read" if before else f"broken: its {name} cannot be read"
    return found


def _is_garbled(values: "pd.Series[str]") -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Return which texts end too early or begin wrongly; reading thousands of them in full would take seconds."""
    texts = values.astype("str").str
    is_whole = (texts.startswith("{") & texts.endswith("}")) | (texts.startswith("[") & texts.endswith("]"))
    is_garbled: np.ndarray[Any, np.dtype[np.bool_]] = (values.notna() & ~is_whole).to_numpy(dtype=bool)
    return is_garbled


def _failure(kind: object, message: object, *, most: int = 240) -> str:
    flat = "" if is_missing(message) else " ".join(str(message).split())
    cut = flat if len(flat) <= most else flat[: most - 1] + "…"
    words = str(kind).replace("_", " ")
    return f"{words}: {cut}" if cut else words


def _still(rows: pd.DataFrame, fields: list[_Field]) -> Element:
    """Return the table as it is read without scripts."""
    head = element("tr", *(element("th", entry.title, scope="col", class_=_css_class(entry)) for entry in fields))
    top = rows.head(MAX_STILL)
    broken = _broken(top)
    body = [_row(row, fields, broken.get(position, "")) for position, row in enumerate(records(top))]
    words = f"{len(rows):,} candidates. Frontier members are marked ◆."
    if len(rows) > MAX_STILL:
        words = f"The best {MAX_STILL:,} of {len(rows):,} candidates. Frontier members are marked ◆."
    table = element("table", element("caption", words), element("thead", head), element("tbody", *body))
    return element("div", table, class_="table-frame", tabindex="0", role="region", aria_label="All candidates")


def _row(row: Mapping[str, Any], fields: list[_Field], broken: str) -> Element:
    cells: list[Node] = []
    for entry in fields:
        value = row[entry.column]
        children: list[Node] = [_WRITE.get(entry.form or entry.kind, _word)(value, entry)]
        if entry.kind == "trial":
            mark = "◆ " if row["is_frontier"] else ""
            cells.append(element("th", mark, *children, scope="row", class_="number"))
            continue
        if entry.column == "origin" and not is_missing(row["parent"]):
            children.append(element("small", f" of #{whole(row['parent'])}"))
        elif entry.kind == "code":
            children = [element("code", *children)]
        if entry is fields[-1] and broken:
            children.append(element("small", broken, class_="failure"))
        kind = _css_class(entry) + (f" status-{value}" if entry.column == "status" else "")
        cells.append(element("td", *children, class_=kind))
    return element("tr", *cells, class_="frontier" if row["is_frontier"] else "other")


def _css_class(entry: _Field) -> str:
    return {"word": "word", "code": "pattern"}.get(entry.kind, "number")


def _word(value: object, entry: _Field) -> str:  # noqa: ARG001 -- one signature for all
    return MISSING if is_missing(value) else str(value)


_WRITE: Final[Mapping[str, Callable[[object, _Field], str]]] = {
    "trial": lambda value, _: f"#{value}",
    "number": lambda value, entry: number(value, decimals=entry.decimals),
    "count": lambda value, _: count(value),
}
