"""The head of the page: is it running, how far is it, is it getting better, what is best, how long has it to go.

Kept low, so that the picture below it is seen without scrolling. The same on every view.
"""

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from dashboards.analysis.best_under_budget import affordable, budget_of
from dashboards.analysis.light import light_candidates
from dashboards.analysis.pace import ended, time_left
from dashboards.analysis.selection import records
from dashboards.elements import Element, Node, element, slot
from dashboards.frame import Objective, Results
from dashboards.parts.ages import age
from dashboards.parts.running import warning
from dashboards.text import MISSING, common_decimals, duration, number, whole
from dashboards.view import View

_FEWEST: Final = 10
"""Candidates before which nothing is said of a trend."""

_GROWING: Final = 0.01
"""Growth of the hypervolume over the last fifth from which it is called growing."""


def headline(results: Results, view: View | None = None) -> Element:
    """Return the page header; without a view, that of a page without choices."""
    done = len(ended(results))
    state = element("span", results.state, class_=f"state state-{results.state}")
    title = element("div", element("h1", results.title), state, *_last_result(results), class_="title")
    children: list[Node] = [
        element("p", element("span", "HybridNAS", class_="brand"), _summary(results), class_="summary"),
        title,
        *warning(results),
    ]
    if results.state != "finished":
        children.append(_bar(results, done))
    children.append(element("div", *_facts(results, view or View(), done), class_="facts"))
    return slot("header", "header", *children, class_="headline")


def _summary(results: Results) -> str:
    parts = [results.provenance[key] for key in ("device", "workload") if key in results.provenance]
    return " · ".join(parts)


def _last_result(results: Results) -> list[Node]:
    last = results.trials["finished_at"].max()
    if pd.isna(last) or results.state == "finished":
        return []
    return [element("span", "last result ", age(last.to_pydatetime(), suffix="ago"), class_="last-result")]


def _bar(results: Results, done: int) -> Element:
    share = min(1.0, done / results.planned_evaluations) if results.planned_evaluations else 1.0
    words = f"{done} of {results.planned_evaluations} evaluations"
    return element("div", element("span", style=f"width:{share:.1%}"), class_="bar", role="img", aria_label=words)


def _facts(results: Results, view: View, done: int) -> list[Node]:
    facts = [
        ("Evaluated", f"{done:,} of {results.planned_evaluations:,}", _outcomes(results)),
        _time(results),
        _trend(results),
        _best(results, results.objectives[0]),
        *_choice(results, view),
        ("Frontier", whole(len(_frontier(results))), "non-dominated"),
    ]
    return [
        element(
            "div",
            element("span", label, class_="label"),
            element("strong", value),
            element("span", note, class_="note"),
            class_="fact",
        )
        for label, value, note in facts
    ]


def _outcomes(results: Results) -> str:
    counts = light_candidates(results)["status"].value_counts()
    notes = [] if counts.get("failed", 0) else ["none failed"]
    words = {"failed": "failed", "stopped": "stopped early", "infeasible": "over a limit"}
    if results.state == "running":
        words["running"] = "running"
    return ", ".join([*notes, *(f"{counts[status]:,} {text}" for status, text in words.items() if status in counts)])


def _time(results: Results) -> tuple[str, str, str]:
    trials = results.trials
    first, last = trials["started_at"].min(), trials["finished_at"].max()
    elapsed = duration((last - first).total_seconds()) if pd.notna(first) and pd.notna(last) else MISSING
    left = time_left(results)
    if left is not None:
        value = left.words.replace("about", "≈")
        return "Time left", value, f"at the pace of the last {left.num_results}; {elapsed} so far"
    if results.state == "running":
        return "Time left", MISSING, "not known yet" if elapsed == MISSING else f"not known yet; {elapsed} so far"
    return "Time", elapsed, "first start to last result"


def _trend(results: Results) -> tuple[str, str, str]:
    """Return how the hypervolume grew over the last fifth."""
    volumes = ended(results)["hypervolume"].astype("float64").dropna()
    if len(volumes) < _FEWEST:
        return "Progress", MISSING, "too early to say"
    num_last = len(volumes) // 5
    before, now = float(volumes.iloc[-1 - num_last]), float(volumes.iloc[-1])
    if before <= 0:
        return "Progress", MISSING, "too early to say"
    growth = now / before - 1
    verdict = "getting better" if growth >= _GROWING else "hardly better" if growth > 0 else "no better"
    value = f"+{growth:.1%}" if growth >= 0.0005 else "+0 %" if growth <= 0 else "< +0.1 %"
    return (
        "Hypervolume",
        value.replace("%", " %").replace("  ", " "),
        f"{verdict} over the last {num_last:,} candidates",
    )


def _best(results: Results, quality: Objective) -> tuple[str, str, str]:
    rows = light_candidates(results, "finished")
    title = f"Best {quality.label.lower()}"
    return title, *_first(results, rows[rows[quality.column].notna()], quality)


def _frontier(results: Results) -> pd.DataFrame:
    rows = light_candidates(results, "finished")
    return rows[rows["is_frontier"].astype(bool)]


def _choice(results: Results, view: View) -> list[tuple[str, str, str]]:
    """Return the best within the reader's budget, else the knee, else the least of the second objective."""
    if len(results.objectives) == 1:
        return []
    quality, cost = results.objectives[:2]
    budget = budget_of(results, view)
    if view.budget is not None and budget is not None:
        return [
            (
                f"Best at {budget.words}",
                *_first(results, affordable(results, budget), quality, otherwise="nothing finished within it"),
            )
        ]
    members = _frontier(results)
    knee = members[members["number"] == results.knee]
    if len(knee):
        return [("Knee of the frontier", *_first(results, knee, quality))]
    # The cheapest candidate of all may be useless; the cheapest of the frontier is a choice somebody can make.
    return [(f"Least {cost.label.lower()}", *_first(results, members, cost))]


def _first(
    results: Results, rows: pd.DataFrame, objective: Objective, *, otherwise: str = "nothing finished yet"
) -> tuple[str, str]:
    """Return the least of an objective, and which candidate it is with what it takes for it; else words why not."""
    rows = rows[rows[objective.column].notna()]
    if rows.empty:
        return MISSING, otherwise
    best = records(rows.sort_values([objective.column, "number"]).head(1))[0]
    others = [
        f"{_written(best, other, results)} {other.unit or other.label.lower()}"
        for other in results.objectives
        if other is not objective
    ]
    return f"{_written(best, objective, results)} {objective.unit}".strip(), ", ".join([f"#{best['number']}", *others])


def _written(row: Mapping[str, Any], objective: Objective, results: Results) -> str:
    return number(row[objective.column], decimals=common_decimals(results.trials[objective.column]))
