"""Which trials a user means by a number, `best`, `knee` or `frontier`."""

import math
from typing import Any

from nas.candidates import History, Record
from nas.errors import UsageError


def choose_trials(history: History[Any], choice: str) -> list[Record[Any]]:
    """Return the trials `choice` names.

    Args:
        history: what ended.
        choice: a trial number; `best` (lowest of the first objective), `knee` (the frontier's member nearest to the
            best of all objectives, on a log scale), or `frontier` (all its members).

    Raises:
        UsageError: no such trial, or none finished.
    """
    if choice.isdecimal():
        return [trial_by_number(history, int(choice))]
    frontier = history.frontier()
    if choice not in ("best", "knee", "frontier"):
        raise UsageError(f"--trial takes a number, best, knee or frontier; got {choice!r}.")
    if not frontier:
        raise UsageError(f"There is no {choice} yet: no trial has finished.")
    match choice:
        case "best":
            return [min(frontier, key=lambda record: record.objectives[history.objectives[0]])]
        case "knee":
            return [knee(history)]
        case _:
            return frontier


def trial_by_number(history: History[Any], number: int) -> Record[Any]:
    """Return an ended trial; a candidate that was repeated with the means.

    Raises:
        UsageError: there is none of this number.
    """
    for record in history:
        if record.number == number:
            return history.ranked(record)
    ended = sorted(record.number for record in history)
    have = f"ended are {ended[0]} to {ended[-1]}" if ended else "none has ended yet"
    raise UsageError(f"No ended trial has the number {number}; {have}.")


def knee(history: History[Any]) -> Record[Any]:
    """Return the frontier member nearest to the best of every objective, each on a log scale from best to worst."""
    frontier = history.frontier()
    logs = [[math.log(value) for value in point] for point in history.points(frontier)]
    low = [min(column) for column in zip(*logs, strict=True)]
    high = [max(column) for column in zip(*logs, strict=True)]

    def distance(index: int) -> float:
        return math.hypot(*((value - a) / (b - a) for value, a, b in zip(logs[index], low, high, strict=True) if b > a))

    return frontier[min(range(len(frontier)), key=distance)]
