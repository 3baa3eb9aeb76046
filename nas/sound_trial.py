"""Whether a trial that could be read also makes sense: one that does not must not take a whole study with it.

Only what others reckon with; what is merely shown, such as a learning curve, may be anything.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from nas.candidates import Candidate, Origin, Record, Status
from nas.errors import StudyError
from nas.study_format import ReadTrial

_ORIGINS: Final = frozenset({*get_args(Origin), "crossover"})
_STATUSES: Final = frozenset(get_args(Status))
_MOST_NUMBER: Final = 2**63
_MOST: Final = 1e300
"""Sums and products of larger numbers overflow."""


def check_sound(found: ReadTrial[Any], *, objectives: Sequence[str]) -> None:
    """Check what a trial says of itself.

    Raises:
        StudyError: it is of another type, or not among what it may be.
    """
    _check_candidate(found.candidate)
    if found.record is not None:
        _check_record(found.record, objectives=objectives)


def _check_candidate(candidate: Candidate[Any]) -> None:
    proposal = candidate.proposal
    _demand(proposal.origin in _ORIGINS, "origin", proposal.origin)
    _demand(_is_text(candidate.fingerprint), "fingerprint", candidate.fingerprint)
    _demand(_is_text(proposal.mutation), "mutation", proposal.mutation)
    for name, value in (("parent", proposal.parent), ("repeat_of", proposal.repeat_of)):
        _demand(value is None or (type(value) is int and 0 <= value < _MOST_NUMBER), name, value)
    _check_numbers(candidate.cheap, "cheap")


def _check_record(record: Record[Any], *, objectives: Sequence[str]) -> None:
    _demand(record.status in _STATUSES, "status", record.status)
    _demand(
        type(record.finish_index) is int and 0 <= record.finish_index < _MOST_NUMBER,
        "finish_index",
        record.finish_index,
    )
    _demand(record.finished_at is None or record.finished_at.tzinfo is not None, "finished_at", record.finished_at)
    _demand(isinstance(record.details, Mapping), "details", record.details)
    _demand(record.expected is None or isinstance(record.expected, int | float), "expected", record.expected)
    _check_numbers(record.objectives, "objectives")
    _check_numbers(record.bounds, "bounds")
    if record.status in ("finished", "infeasible"):
        missing = [name for name in objectives if name not in record.objectives]
        _demand(not missing, "objectives", f"none for {', '.join(missing)}")
    for failure in (*record.attempts, *([] if record.failure is None else [record.failure])):
        _demand(_is_text(failure.kind) and _is_text(failure.message), "failure", failure)


def _check_numbers(values: object, name: str) -> None:
    _demand(isinstance(values, Mapping), name, values)
    assert isinstance(values, Mapping)
    for key, value in values.items():
        _demand(type(value) in (int, float) and abs(value) <= _MOST, f"{name}.{key}", value)


def _is_text(value: object) -> bool:
    """Whether this is text that can be written; half of a surrogate pair, which JSON can hold, cannot."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _demand(holds: bool, name: str, value: object) -> None:
    if not holds:
        raise StudyError(f"its {name} cannot be {str(value)[:80]!a}")
