"""A candidate's line as a table: oldest first, what each step changed and what that brought."""

from collections.abc import Mapping
from typing import Any

from dashboards.analysis.lineage import Line, change_of
from dashboards.elements import Element, Node, element
from dashboards.frame import Objective, Results
from dashboards.text import common_decimals, is_missing, number
from dashboards.view import View

SIGNS = {"better": "▼ ", "worse": "▲ ", "the same": "", "unknown": ""}
"""Down is better in every objective."""


def line_table(results: Results, view: View, line: Line) -> list[Element]:
    """Return the table and why it goes no further back; nothing without a candidate."""
    if not line.rows:
        return []
    titles = ["Trial", "What changed"]
    head = [element("th", title, scope="col") for title in titles]
    for objective in results.objectives:
        head.append(element("th", objective.title, scope="col", class_="number"))
        head.append(element("th", "against its parent", scope="col"))
    parents: tuple[Mapping[str, Any] | None, ...] = (None, *line.rows[:-1])
    decimals = {entry.column: common_decimals(results.trials[entry.column]) for entry in results.objectives}
    rows = [_row(results, view, parent, child, decimals) for parent, child in zip(parents, line.rows, strict=True)]
    table = element("table", element("thead", element("tr", *head)), element("tbody", *rows), class_="plain line")
    frame = element("div", table, class_="wide", tabindex="0", role="region", aria_label="Its line, oldest first")
    return [frame, *([element("p", line.break_words, class_="note")] if line.break_words else [])]


def _row(
    results: Results,
    view: View,
    parent: Mapping[str, Any] | None,
    child: Mapping[str, Any],
    decimals: Mapping[str, int | None],
) -> Element:
    link = element("a", f"#{child['number']}", href=view.link(page="candidate", trial=child["number"]))
    cells: list[Node] = [element("th", link, scope="row"), element("td", _what(child), class_="what")]
    for objective in results.objectives:
        cells += _objective(objective, parent, child, decimals[objective.column])
    return element("tr", *cells)


def _what(row: Mapping[str, Any]) -> str:
    if not is_missing(row["mutation"]):
        return str(row["mutation"])
    words = {"seed": "given as a seed", "random": "drawn at random", "crossover": "crossed with another candidate"}
    return words.get(row["origin"], str(row["origin"]))


def _objective(
    objective: Objective, parent: Mapping[str, Any] | None, child: Mapping[str, Any], decimals: int | None
) -> list[Node]:
    value = element("td", number(child[objective.column], decimals=decimals), class_="number")
    if parent is None:
        return [value, element("td", "")]
    change = change_of(parent, child, objective)
    words = change.words(decimals=decimals, unit=objective.unit)
    kind = {"better": "better", "worse": "worse"}.get(change.verdict, "same")
    return [value, element("td", f"{SIGNS[change.verdict]}{words}", class_=kind)]
