"""Which candidates a view looks at: those the reader chose, or a sensible choice."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboards.analysis.selection import frontier, records
from dashboards.frame import Results
from dashboards.view import MAX_COMPARED, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is looked at."""

    rows: tuple[Mapping[str, Any], ...]
    complaints: tuple[str, ...]
    """A sentence for each candidate that was asked for and is not there."""


def chosen_trial(results: Results, view: View) -> Chosen:
    """Return the candidate that is looked at; no row in a study without trials.

    By default the knee, else the best of the frontier, else the last trial.
    """
    found = _rows(results, [] if view.trial is None else [view.trial])
    if found.rows:
        return found
    default = _rows(results, _defaults(results)[:1])
    return Chosen(rows=default.rows, complaints=found.complaints)


def chosen_trials(results: Results, view: View) -> Chosen:
    """Return the candidates to compare, at most `MAX_COMPARED`.

    By default the best of the frontier, the knee and the cheapest of the frontier, as far as these differ.
    """
    found = _rows(results, view.compare)
    if found.rows:
        return found
    return Chosen(rows=default_trials(results), complaints=found.complaints)


def default_trials(results: Results) -> tuple[Mapping[str, Any], ...]:
    """Return the candidates to compare where the reader chose none."""
    numbers = frontier(results)["number"].tolist()
    if not numbers:
        return _rows(results, _defaults(results)[:1]).rows
    knee = [results.knee] if results.knee in numbers else numbers[len(numbers) // 2 :][:1]
    return _rows(results, dict.fromkeys([_best(results), *knee, numbers[0]])).rows


def roles_of(results: Results, trial: int) -> list[str]:
    """Return what a candidate is on the frontier, in words."""
    numbers = frontier(results)["number"].tolist()
    if trial not in numbers:
        return []
    roles = ["on the frontier"]
    if trial == results.knee:
        roles.append("its knee")
    if trial == _best(results):
        roles.append(f"its best {results.objectives[0].label.lower()}")
    if len(results.objectives) > 1 and trial == numbers[0]:
        roles.append(f"its lowest {results.objectives[1].label.lower()}")
    return roles


def _defaults(results: Results) -> list[int]:
    members = frontier(results)["number"].tolist()
    numbers = results.trials["number"]
    if results.knee is not None and bool((numbers == results.knee).any()):
        return [results.knee]
    if members:
        return [_best(results)]
    return [] if numbers.empty else [int(numbers.max())]


def _best(results: Results) -> int:
    members = frontier(results)
    return int(members.sort_values([results.objectives[0].column, "number"])["number"].iloc[0])


def _rows(results: Results, numbers: Any) -> Chosen:
    wanted = list(numbers)[:MAX_COMPARED]
    found = {row["number"]: row for row in records(results.trials[results.trials["number"].isin(wanted)])}
    missing = [number for number in wanted if number not in found]
    return Chosen(
        rows=tuple(found[number] for number in wanted if number in found),
        complaints=tuple(f"This study has no trial {number}." for number in missing),
    )
