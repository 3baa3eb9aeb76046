"""The facts at the head of the page: state, best candidate, frontier, what was evaluated, and how long it took."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dashboards.elements import Element, Node, element, slot
from dashboards.frame import Objective, Results
from dashboards.selection import candidates, frontier, records, with_status, with_statuses
from dashboards.text import common_decimals, duration, number, whole


def headline(results: Results) -> Element:
    """Return the page header."""
    done = sum(len(with_status(results, status)) for status in ("finished", "failed", "stopped"))
    state = element("span", results.state, class_=f"state state-{results.state}")
    share = min(1.0, done / results.planned_evaluations) if results.planned_evaluations else 1.0
    children: list[Node] = [
        element("p", "HybridNAS", class_="brand"),
        element("div", element("h1", results.title), state, class_="title"),
        element("p", _summary(results), class_="summary"),
    ]
    if results.state != "finished":
        bar = element("span", style=f"width:{share:.1%}")
        words = f"{done} of {results.planned_evaluations} evaluations"
        children.append(element("div", bar, class_="bar", role="img", aria_label=words))
    children.append(element("div", *_facts(results, done), class_="facts"))
    return slot("header", "header", *children)


def _summary(results: Results) -> str:
    parts = [f"{label} {results.provenance[key]}" for key, label in (("device", "on"),) if key in results.provenance]
    if "workload" in results.provenance:
        parts.append(results.provenance["workload"])
    return " · ".join(parts)


def _facts(results: Results, done: int) -> list[Node]:
    facts = [_best(results, index) for index in range(len(results.objectives[:2]))]
    facts.append(("Frontier", whole(len(frontier(results))), "non-dominated candidates"))
    failed = with_status(results, "failed")
    infeasible = len(with_status(results, "infeasible"))
    kinds = [f"{count} {str(kind).replace('_', ' ')}" for kind, count in failed["failure_kind"].value_counts().items()]
    notes = [f"{len(failed)} failed ({', '.join(kinds)})" if len(failed) else "none failed"]
    if infeasible:
        notes.append(f"{infeasible} over a limit")
    stopped = len(with_status(results, "stopped"))
    if stopped:
        notes.append(f"{stopped} stopped early ({_spent_share(results):.0%} of the tokens of full trainings)")
    running = len(with_status(results, "running"))
    if running:
        notes.append(f"{running} running")
    facts.append(("Evaluated", f"{done} of {results.planned_evaluations}", ", ".join(notes)))
    facts.append(("Time", *_time(results)))
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


def _spent_share(results: Results) -> float:
    rows = with_statuses(results, "finished", "infeasible", "stopped")
    rows = rows[rows["tokens_planned"].notna()]
    return float(rows["tokens_seen"].sum() / rows["tokens_planned"].sum())


def _best(results: Results, index: int) -> tuple[str, str, str]:
    objective = results.objectives[index]
    rows = with_status(results, "finished")
    # The cheapest candidate of all may be useless; the cheapest of the frontier is a choice somebody can make.
    rows = rows[rows[objective.column].notna()] if index == 0 else frontier(results)
    title = f"Best {objective.label.lower()}" if index == 0 else f"Least {objective.label.lower()}"
    if rows.empty:
        return title, "–", "nothing finished yet"
    best = records(rows.sort_values([objective.column, "number"]).head(1))[0]
    others = [
        f"{_written(best, other, results)} {other.unit or other.label.lower()}"
        for other in results.objectives
        if other is not objective
    ]
    words = ", ".join([f"#{best['number']}", *others])
    return title, f"{_written(best, objective, results)} {objective.unit}".strip(), words


def _written(row: Mapping[str, Any], objective: Objective, results: Results) -> str:
    return number(row[objective.column], decimals=common_decimals(results.trials[objective.column]))


def _time(results: Results) -> tuple[str, str]:
    trials = results.trials
    first, last = trials["started_at"].min(), trials["finished_at"].max()
    elapsed = duration((last - first).total_seconds()) if pd.notna(first) and pd.notna(last) else "–"
    trained = candidates(results)["train_seconds"].sum()
    return elapsed, f"{duration(trained)} of training" if trained else "first start to last result"
