"""Whether a trial that could be read also makes sense: one that does not must not take a whole study with it.

Only what others reckon with; what is merely shown, such as a learning curve, may be anything.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from nas.candidates import Candidate, Origin, Record, Status
from nas.errors import StudyError
from nas.study_format import ReadTrial

_ORIGINS: Final = frozenset({*get_args(Origin), "crossover"})
_STATUSES: Final = frozenset(get_args(Status))


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
    _demand(isinstance(candidate.fingerprint, str), "fingerprint", candidate.fingerprint)
    _demand(isinstance(proposal.mutation, str), "mutation", proposal.mutation)
    for name, value in (("parent", proposal.parent), ("repeat_of", proposal.repeat_of)):
        _demand(value is None or type(value) is int, name, value)
    _check_numbers(candidate.cheap, "cheap")


def _check_record(record: Record[Any], *, objectives: Sequence[str]) -> None:
    _demand(record.status in _STATUSES, "status", record.status)
    _demand(type(record.finish_index) is int, "finish_index", record.finish_index)
    _demand(isinstance(record.details, Mapping), "details", record.details)
    _demand(record.expected is None or isinstance(record.expected, int | float), "expected", record.expected)
    _check_numbers(record.objectives, "objectives")
    _check_numbers(record.bounds, "bounds")
    if record.status in ("finished", "infeasible"):
        missing = [name for name in objectives if name not in record.objectives]
        _demand(not missing, "objectives", f"none for {', '.join(missing)}")
    for failure in (*record.attempts, *([] if record.failure is None else [record.failure])):
        _demand(isinstance(failure.kind, str) and isinstance(failure.message, str), "failure", failure)


def _check_numbers(values: object, name: str) -> None:
    _demand(isinstance(values, Mapping), name, values)
    assert isinstance(values, Mapping)
    for key, value in values.items():
        _demand(type(value) in (int, float) and math.isfinite(value), f"{name}.{key}", value)


def _demand(holds: bool, name: str, value: object) -> None:
    if not holds:
        raise StudyError(f"its {name} cannot be {str(value)[:80]!r}")
