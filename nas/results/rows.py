"""One trial as a row of the results: what it says of itself, not how it stands among the others.

What is garbled in a trial is left as it is, or empty where nothing can be made of it: it must not hide the rest.
"""

import json
import sys
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

import orjson

from dashboards.frame import COLUMNS
from nas.candidates import Candidate, Record
from nas.study_format import description_of, stored_genome
from nas.study_reader import Begun, BrokenTrial
from search_spaces import SearchSpace
from search_spaces.architecture import spec_from_dict
from search_spaces.pattern import format_pattern

G = TypeVar("G", bound=Hashable)

BROKEN: Final = "unreadable"
"""The kind of failure of a trial whose entry cannot be read."""

_MOST: Final = 2**63

TAKEN: Final = frozenset(column.name for column in COLUMNS if column.dtype not in ("float64", "Int64")) | {
    "parent",
    "repeat_of",
    "finish_index",
}
"""Columns that say what a trial is; no figure of that name can stand in their place."""

_GARBLED: Final = (ValueError, TypeError, KeyError, AttributeError, OverflowError)


def candidate_row(candidate: Candidate[G], space: SearchSpace[G]) -> dict[str, Any]:
    """Return what was proposed."""
    proposal = candidate.proposal
    return {
        "number": candidate.number,
        "origin": proposal.origin,
        "parent": proposal.parent,
        "mutation": proposal.mutation or None,
        "repeat_of": proposal.repeat_of,
        "fingerprint": candidate.fingerprint,
        "genome": _text(stored_genome(proposal, space)),
        **_figures(candidate.cheap),
        **_described(candidate),
    }


def running_row(candidate: Candidate[G], space: SearchSpace[G], begun: Begun | None) -> dict[str, Any]:
    """Return a trial that has not ended, with what is known of its beginning."""
    return candidate_row(candidate, space) | {
        "status": "running",
        "started_at": None if begun is None else begun.started_at,
        "num_attempts": None if begun is None else begun.num_attempts,
    }


def broken_row(broken: BrokenTrial) -> dict[str, Any]:
    """Return a trial of which next to nothing can be read."""
    return {
        "number": broken.number,
        "status": "failed",
        # The origin is lost; the plainest is that it has no parent.
        "origin": "random",
        "fingerprint": f"broken trial {broken.number}",
        "genome": "null",
        "failure_kind": BROKEN,
        "failure_message": broken.words,
        "started_at": broken.started_at,
    }


def ended_row(record: Record[G], space: SearchSpace[G]) -> dict[str, Any]:
    """Return a trial that ended, as it is ranked."""
    details, failure = record.details, record.failure
    return candidate_row(record.candidate, space) | {
        "status": record.status,
        **_figures(record.objectives),
        "bits_per_byte": _number(details.get("bits_per_byte")),
        "validation_loss": _number(details.get("validation_loss")),
        "curve": _json(details.get("curve")),
        "tokens_seen": _whole(details.get("tokens_seen")),
        "train_seconds": _number(details.get("seconds")),
        "tokens_planned": _whole(details.get("tokens_planned")),
        "expected": record.expected,
        "num_attempts": 1 + len(record.attempts),
        "num_evaluations": None if failure or record.status == "stopped" else record.num_evaluations,
        "deviation": record.deviation,
        "failure_kind": None if failure is None else failure.kind,
        "failure_message": None if failure is None else failure.message,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "finish_index": record.finish_index,
    }


def _described(candidate: Candidate[Any]) -> dict[str, Any]:
    try:
        description = description_of(candidate)
        by_operator, target = description.get("latency_by_operator"), description.get("target")
    except _GARBLED:
        # It is read only now, and cannot be.
        return {"architecture": "null"}
    found: dict[str, Any] = {"latency_by_operator": _json(by_operator)}
    if target is None:
        return found
    found["architecture"] = _text(target)
    try:
        operators = target["operators"]
        shape = {
            "pattern": format_pattern(tuple(_letter(orjson.dumps(operator)) for operator in operators)),
            "hidden_size": _whole(target["hidden_size"]),
            "depth": len(operators),
        }
    except _GARBLED:
        return found
    return found | shape


@lru_cache(maxsize=4096)
def _letter(operator: bytes) -> str:
    """Return the letter of an operator; a search has few, and each many times."""
    return spec_from_dict(orjson.loads(operator), where="operator").letter


def _text(content: object) -> str:
    try:
        return orjson.dumps(content).decode()
    except TypeError:
        # Half of a surrogate pair, or a whole number of more than 64 bits.
        return json.dumps(content, ensure_ascii=False).encode(errors="replace").decode()


def _json(value: object) -> str | None:
    return None if value is None else _text(value)


def _figures(values: Mapping[str, float]) -> dict[str, Any]:
    counted = "num_parameters"
    found = {name: value for name, value in values.items() if name not in TAKEN}
    return found | {counted: _whole(values[counted])} if counted in values else found


def _whole(value: object) -> int | None:
    """Return a number that counts something; none for what is no whole number, or none of 64 bits."""
    if not isinstance(value, int | float) or value % 1 or abs(value) >= _MOST:
        return None
    return int(value)


def _number(value: object) -> float | None:
    """Return a number that can be drawn; none for what is none, endless, or beyond all figures."""
    return float(value) if isinstance(value, int | float) and abs(value) <= sys.float_info.max else None
