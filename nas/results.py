"""From the study to what dashboards, reports and exports read; the columns are documented in `dashboards/frame.py`."""

import json
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import pandas as pd

from dashboards.frame import COLUMNS
from nas.candidates import Candidate, History, Record
from nas.comparison import UnitBox
from nas.pareto import GrowingFrontier
from search_spaces import Architecture, SearchSpace

G = TypeVar("G", bound=Hashable)


def results_frame(
    history: History[G],
    running: Sequence[Candidate[G]] = (),
    *,
    measured_ms: Mapping[str, float] = MappingProxyType({}),
) -> pd.DataFrame:
    """Return one row per trial, ended or running, by number; `measured_ms` is by fingerprint."""
    frontier = {record.number for record in history.frontier()}
    hypervolumes = _hypervolumes(history)
    space = history.space
    rows = [
        _row(record.candidate, space) | _outcome(history.ranked(record), frontier, hypervolumes) for record in history
    ]
    rows += [_row(candidate, space) | {"status": "running", "is_frontier": False} for candidate in running]
    for row in rows:
        row["measured_latency_ms"] = measured_ms.get(row["fingerprint"])
    names = [column.name for column in COLUMNS]
    # What costs nothing to know is shown also where it is no objective.
    first = next((record.candidate for record in history), None) or next(iter(running), None)
    figures = dict.fromkeys((*history.objectives, *(first.cheap if first else ())))
    names += [name for name in figures if name not in names]
    # Objects first: a column where every value is missing must not become text.
    frame = pd.DataFrame(rows, columns=names, dtype=object).sort_values("number", ignore_index=True)
    dtypes = {column.name: column.dtype for column in COLUMNS} | {
        name: "float64" for name in figures if name != "num_parameters" or name in history.objectives
    }
    return frame.astype(dtypes)


def _row(candidate: Candidate[G], space: SearchSpace[G]) -> dict[str, Any]:
    proposal, description = candidate.proposal, candidate.description
    row: dict[str, Any] = {
        "number": candidate.number,
        "origin": proposal.origin,
        "parent": proposal.parent,
        "mutation": proposal.mutation or None,
        "repeat_of": proposal.repeat_of,
        "fingerprint": candidate.fingerprint,
        "genome": json.dumps(space.to_dict(candidate.genome)),
        "latency_by_operator": _json(description.get("latency_by_operator")),
        **candidate.cheap,
    }
    if "target" in description:
        target = Architecture.from_dict(description["target"])
        row |= {
            "architecture": json.dumps(description["target"]),
            "pattern": target.pattern,
            "hidden_size": target.hidden_size,
            "depth": target.depth,
        }
    return row


def _outcome(record: Record[G], frontier: set[int], hypervolumes: dict[int, float]) -> dict[str, Any]:
    details, failure = record.details, record.failure
    return {
        "status": record.status,
        **record.objectives,
        "bits_per_byte": details.get("bits_per_byte"),
        "validation_loss": details.get("validation_loss"),
        "curve": _json(details.get("curve")),
        "tokens_seen": details.get("tokens_seen"),
        "train_seconds": details.get("seconds"),
        "tokens_planned": details.get("tokens_planned"),
        "expected": record.expected,
        "num_attempts": 1 + len(record.attempts),
        "num_evaluations": None if failure or record.status == "stopped" else record.num_evaluations,
        "deviation": record.deviation,
        "failure_kind": None if failure is None else failure.kind,
        "failure_message": None if failure is None else failure.message,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "finish_index": record.finish_index,
        "is_frontier": record.number in frontier,
        "hypervolume": hypervolumes.get(record.number),
    }


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value)


def _hypervolumes(history: History[G]) -> dict[int, float]:
    """Return the archive's share of the box between best and worst after each trial, in the order they ended."""
    finished = history.finished()
    points = history.points(finished)
    if not points or min(map(min, points)) <= 0:
        return {}
    box = UnitBox(points)
    placed = dict(zip((record.number for record in finished), box.place(points), strict=True))
    growing = GrowingFrontier(box.reference)
    result: dict[int, float] = {}
    volume = 0.0
    for record in history:
        if record.number in placed:
            volume = growing.add(placed[record.number])
        if not record.is_repeat:
            result[record.number] = volume
    return result
