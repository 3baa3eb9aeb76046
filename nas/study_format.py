"""What a study says, as text: a candidate, its attempts and its result as JSON in attributes of a trial.

Knows no storage: `study.py` writes it through Optuna, `study_reader.py` reads it wherever it lies. What is large and
seldom asked for, the genome and the description, is read when it is asked for.
"""

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Generic, TypeVar

import orjson

from nas.candidates import Candidate, Failed, Proposal, Record
from nas.errors import StudyError
from proxies.rungs import Rungs
from search_spaces import SearchSpace

G = TypeVar("G", bound=Hashable)

SCHEMA_VERSION: Final = 1

CANDIDATE: Final = "candidate"
RESULT: Final = "result"
ATTEMPTS: Final = "attempts"
"""Attributes of a trial."""

SCHEMA: Final = "hybridnas:schema_version"
OBJECTIVES: Final = "hybridnas:objectives"
COMPLETE: Final = "hybridnas:complete"
"""Attributes of a study."""

_DESCRIPTION: Final = ', "description": '


def read_json(text: str | bytes) -> Any:
    """Return what a JSON text says: fast where it is strict, and with Python's NaN and Infinity where it is not.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrial:
    """A trial as it lies in a storage."""

    number: int
    started_at: datetime | None
    attributes: dict[str, Any]

    head: dict[str, Any] | None = None
    """The candidate without its description, where it was read already; then its attribute is left out."""

    description: Callable[[], Mapping[str, Any]] | None = None
    """Reads the description that was cut off."""


@dataclass(slots=True)
class StoredStudy:
    """A study as it lies in a storage."""

    attributes: dict[str, Any] = field(default_factory=dict)
    trials: list[StoredTrial] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTrial(Generic[G]):
    """A trial as it was read."""

    candidate: Candidate[G]
    attempts: tuple[Failed, ...]
    record: Record[G] | None
    """None while it runs."""


def check_study(attributes: Mapping[str, Any], *, name: str, objectives: Sequence[str]) -> None:
    """Check that a study can be read, and is of these objectives.

    Raises:
        StudyError: a newer version wrote it, or it is of other objectives.
    """
    version = attributes.get(SCHEMA, SCHEMA_VERSION)
    if type(version) is not int:
        raise StudyError(f"The study {name!r} has no schema version that is a number; got {version!r}.")
    if version > SCHEMA_VERSION:
        raise StudyError(
            f"The study {name!r} has schema version {version}; this hybridnas reads up to {SCHEMA_VERSION}. "
            "Read it with the version that wrote it."
        )
    found = attributes.get(OBJECTIVES, objectives)
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise StudyError(f"The objectives of the study {name!r} must be a list of names; got {found!r}.")
    found = tuple(found)
    if found != tuple(objectives):
        raise StudyError(
            f"The study {name!r} minimises {', '.join(found)}, not {', '.join(objectives)}. "
            "Use another run directory for other objectives."
        )


def candidate_text(candidate: Candidate[G], *, space: SearchSpace[G]) -> str:
    """Return a candidate as JSON."""
    proposal = candidate.proposal
    content = {
        "genome": space.to_dict(candidate.genome),
        "fingerprint": candidate.fingerprint,
        "origin": proposal.origin,
        "parent": proposal.parent,
        "mutation": proposal.mutation,
        "repeat_of": proposal.repeat_of,
        "sampling": dict(proposal.sampling),
        "seed": candidate.seed,
        "cheap": dict(candidate.cheap),
        **({} if candidate.rungs is None else {"rungs": candidate.rungs.to_dict()}),
        # Last, so that it can be left unread.
        "description": dict(candidate.description),
    }
    return json.dumps(content)


def attempts_text(attempts: Sequence[Failed]) -> str:
    """Return the failures before the last attempt as JSON."""
    return json.dumps([{"kind": one.kind, "message": one.message} for one in attempts])


def read_trial(trial: StoredTrial, *, space: SearchSpace[G]) -> ReadTrial[G]:
    """Return what a trial says.

    Raises:
        StudyError: it was not written by a search.
    """
    number = trial.number
    if CANDIDATE not in trial.attributes and trial.head is None:
        raise StudyError(
            f"Trial {number} was not written by a search: it has no candidate. "
            "This storage holds a study of something else; choose another name or run directory."
        )
    candidate = _candidate(trial, space)
    written = trial.attributes.get(ATTEMPTS)
    attempts = () if written is None else tuple(Failed(**one) for one in read_json(written))
    if RESULT not in trial.attributes:
        return ReadTrial(candidate=candidate, attempts=attempts, record=None)
    result = read_json(trial.attributes[RESULT])
    started = trial.started_at
    record = Record(
        candidate=candidate,
        status=result["status"],
        objectives=result["objectives"],
        failure=None if result["failure"] is None else Failed(**result["failure"]),
        is_penalised=result.get("is_penalised", False),  # studies of version 0.1 have none
        expected=result.get("expected"),
        bounds=result.get("bounds", {}),
        attempts=attempts,
        details=result["details"],
        finish_index=result["finish_index"],
        started_at=None if started is None else started.astimezone(UTC),
        finished_at=datetime.fromisoformat(result["finished_at"]),
    )
    return ReadTrial(candidate=candidate, attempts=attempts, record=record)


def read_description(text: str) -> Mapping[str, Any]:
    """Return what the JSON of a candidate says its genome decodes to."""
    description: Mapping[str, Any] = read_json(text)["description"]
    return description


def _candidate(trial: StoredTrial, space: SearchSpace[G]) -> Candidate[G]:
    description: Mapping[str, Any]
    if trial.head is not None and trial.description is not None:
        content, description = trial.head, _StoredMapping(trial.description)
    else:
        content, description = _without_description(trial.attributes[CANDIDATE])
    proposal: Proposal[G] = _StoredProposal(
        genome=_Unread(space, content["genome"]),
        origin=content["origin"],
        parent=content["parent"],
        mutation=content["mutation"],
        repeat_of=content["repeat_of"],
        sampling=content.get("sampling", {}),  # studies of version 0.1 have none
    )
    return Candidate(
        number=trial.number,
        proposal=proposal,
        fingerprint=content["fingerprint"],
        seed=content["seed"],
        cheap=content["cheap"],
        description=description,
        rungs=None if content.get("rungs") is None else Rungs.from_dict(content["rungs"]),
    )


def _without_description(text: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    place = text.find(_DESCRIPTION)
    if place > 0 and (content := whole_candidate(text[:place] + "}")) is not None:
        return content, _StoredMapping(partial(read_description, text))
    content = read_json(text)
    return content, content["description"]


def whole_candidate(text: str) -> dict[str, Any] | None:
    """Return a candidate whose description was cut off, or none where the cut was at another place."""
    try:
        content: dict[str, Any] = read_json(text)
    except ValueError:
        return None
    # What comes just before it.
    return content if "cheap" in content else None


def stored_genome(proposal: Proposal[G], space: SearchSpace[G]) -> Mapping[str, Any]:
    """Return a genome as a space writes it: as it is stored, where it was read from a study and nobody asked for it."""
    kept = proposal._genome if isinstance(proposal, _StoredProposal) else proposal.genome
    return kept.content if isinstance(kept, _Unread) else space.to_dict(kept)


def description_of(candidate: Candidate[Any]) -> Mapping[str, Any]:
    """Return what a candidate's genome decodes to, without keeping it where it has to be read first.

    Raises:
        ValueError: it cannot be read.
        KeyError: there is none.
    """
    description = candidate.description
    return description.read() if isinstance(description, _StoredMapping) else description


class _StoredMapping(Mapping[str, Any]):
    """A mapping that is read when something is asked of it."""

    __slots__ = ("_content", "_reading")

    def __init__(self, reading: Callable[[], Mapping[str, Any]]) -> None:
        self._reading = reading
        self._content: Mapping[str, Any] | None = None

    def read(self) -> Mapping[str, Any]:
        """Return the content, read anew where nobody has asked for a part of it yet."""
        return self._reading() if self._content is None else self._content

    def _read(self) -> Mapping[str, Any]:
        if self._content is None:
            self._content = self._reading()
        return self._content

    def __getitem__(self, key: str) -> Any:
        return self._read()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())


class _Unread(Generic[G]):
    """A genome that nobody has asked for."""

    __slots__ = ("_space", "content")

    def __init__(self, space: SearchSpace[G], content: Mapping[str, Any]) -> None:
        self._space = space
        self.content = content

    def read(self) -> G:
        return self._space.from_dict(self.content)


class _StoredProposal(Proposal[G]):
    """A proposal whose genome is read when it is asked for; equal to one that was not stored."""

    __slots__ = ("_genome",)
    _genome: "_Unread[G] | G"

    def __init__(self, *, genome: "_Unread[G] | G", **others: Any) -> None:
        object.__setattr__(self, "_genome", genome)
        for name, value in others.items():
            object.__setattr__(self, name, value)

    # A property over the slot of the same name, which stays empty.
    @property
    def genome(self) -> G:
        """The genome proposed."""
        kept = self._genome
        if not isinstance(kept, _Unread):
            return kept
        found: G = kept.read()
        object.__setattr__(self, "_genome", found)
        return found

    def _plain(self) -> Proposal[G]:
        return Proposal(**{one.name: getattr(self, one.name) for one in fields(Proposal)})

    def __eq__(self, other: object) -> bool:
        return self._plain() == (other._plain() if isinstance(other, _StoredProposal) else other)

    __hash__ = None  # type: ignore[assignment]  # it holds mappings

    def __reduce__(self) -> tuple[Any, ...]:
        return (copy, (self._plain(),))
