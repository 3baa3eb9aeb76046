"""What is proposed, what is under evaluation, and what came of it.

Plain frozen data; how it is stored is `study.py`, how it is produced `evolution/` and `engine.py`.
"""

import json
from bisect import bisect_left, insort
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from search_spaces import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

G = TypeVar("G", bound=Hashable)

Origin = Literal["random", "seed", "mutation", "suggested", "repeat"]
"""Where a genome came from. What is `suggested` comes from a sampler and has no parent. A `repeat` is an earlier
candidate under another training seed: it measures noise."""

Status = Literal["finished", "failed", "infeasible"]
"""`infeasible`: evaluated, but above a constraint."""

FailureKind = Literal[
    "gpu_out_of_memory", "host_out_of_memory", "diverged", "timeout", "lost_worker", "unbuildable", "bug"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(Generic[G]):
    """One genome a strategy wants evaluated."""

    genome: G
    origin: Origin
    parent: int | None = None
    """Number of the trial it was mutated from."""

    mutation: str = ""
    """Which factor changed, in words."""

    repeat_of: int | None = None
    """Number of the trial evaluated again."""

    sampling: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready: what the strategy will want to know again about how it was drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate(Generic[G]):
    """A proposal with a number: a trial under evaluation."""

    number: int
    proposal: Proposal[G]
    fingerprint: str
    """Names what the genome decodes to; equal for equal candidates."""

    seed: int
    """Seed of its evaluation."""

    cheap: Mapping[str, float] = field(default_factory=dict)
    """Objectives known without evaluation."""

    description: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready: what the genome decodes to (for language models the target and the proxy architecture)."""

    @property
    def genome(self) -> G:
        """The genome proposed."""
        return self.proposal.genome


@dataclass(frozen=True, slots=True)
class Failed:
    """An evaluation that gave no objectives. Data, never an exception across processes."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """An evaluation that gave every expensive objective."""

    objectives: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready extras: learning curve, tokens, seconds, peak memory."""


Outcome = Evaluated | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Generic[G]):
    """A trial that ended."""

    candidate: Candidate[G]
    status: Status
    objectives: Mapping[str, float]
    """Cheap and expensive objectives merged; only the cheap ones where the evaluation failed."""

    failure: Failed | None
    details: Mapping[str, Any]
    finish_index: int
    """Position in the order trials ended."""

    started_at: datetime | None
    finished_at: datetime | None

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.candidate.number

    @property
    def genome(self) -> G:
        """The genome evaluated."""
        return self.candidate.genome

    @property
    def parent(self) -> int | None:
        """Number of the trial it was mutated from."""
        return self.candidate.proposal.parent

    @property
    def is_repeat(self) -> bool:
        """Whether it only measures noise."""
        return self.candidate.proposal.repeat_of is not None


class History(Sequence[Record[G]], Generic[G]):
    """Ended trials, in the order they ended. Grows; what strategies ask of it costs little however long it is."""

    def __init__(self, records: Iterable[Record[G]] = (), *, objectives: Sequence[str], space: SearchSpace[G]) -> None:
        self.objectives = tuple(objectives)
        """Names of all objectives, the expensive ones first; every one is minimised."""
        self.space = space
        self.fingerprints: set[str] = set()
        """Of everything that ended, whatever became of it."""
        self._records: list[Record[G]] = []
        self._finished: list[Record[G]] = []
        self._finished_by_number: list[Record[G]] = []
        self._candidate_numbers: list[int] = []
        self._frontier: list[Record[G]] = []
        for record in sorted(records, key=lambda record: record.finish_index):
            self.append(record)

    def append(self, record: Record[G]) -> None:
        """Add the trial that ended last."""
        self._records.append(record)
        self.fingerprints.add(record.candidate.fingerprint)
        if record.is_repeat:
            return
        insort(self._candidate_numbers, record.number)
        if record.status != "finished":
            return
        self._finished.append(record)
        insort(self._finished_by_number, record, key=lambda known: known.number)
        point = self._point(record)
        if not any(_is_nowhere_worse(self._point(member), point) for member in self._frontier):
            kept = [member for member in self._frontier if not _is_nowhere_worse(point, self._point(member))]
            self._frontier = [*kept, record]

    @overload
    def __getitem__(self, index: int) -> Record[G]: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[Record[G]]": ...
    def __getitem__(self, index: int | slice) -> "Record[G] | Sequence[Record[G]]":
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record[G]]:
        return iter(self._records)

    def before(self, number: int) -> "History[G]":
        """Return the trials proposed before trial `number`."""
        records = [record for record in self._records if record.number < number]
        return History(records, objectives=self.objectives, space=self.space)

    @property
    def candidate_numbers(self) -> Sequence[int]:
        """Numbers of the trials that are no repeats, ascending."""
        return self._candidate_numbers

    def finished(self) -> list[Record[G]]:
        """Return the feasible candidates that have every objective, repeats left out."""
        return list(self._finished)

    def youngest(self, size: int, *, before: int | None = None) -> list[Record[G]]:
        """Return the last `size` of those by number, of all or of those proposed before trial `before`."""
        by_number = self._finished_by_number
        end = len(by_number) if before is None else bisect_left(by_number, before, key=lambda record: record.number)
        return by_number[max(0, end - size) : end]

    def points(self, records: Sequence[Record[G]]) -> list[tuple[float, ...]]:
        """Return the objective vectors of records that have them."""
        return [self._point(record) for record in records]

    def frontier(self) -> list[Record[G]]:
        """Return the non-dominated candidates, of equal ones the first, sorted by the last objective."""
        return sorted(self._frontier, key=lambda record: (record.objectives[self.objectives[-1]], record.finish_index))

    def _point(self, record: Record[G]) -> tuple[float, ...]:
        return tuple(record.objectives[name] for name in self.objectives)

    def results_frame(self) -> "pd.DataFrame":
        """Return one row per trial; the columns are documented in `dashboards/frame.py`."""
        from nas.results import results_frame

        return results_frame(self)


def _is_nowhere_worse(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True))


def fingerprint_of(space: SearchSpace[G], genome: G) -> str:
    """Return what names a candidate: its decoded architecture's fingerprint, or its canonical JSON."""
    decoded = space.decode(genome)
    own: Callable[[], str] | None = getattr(decoded, "fingerprint", None)
    if own is not None:
        return own()
    return json.dumps(space.to_dict(genome), sort_keys=True, separators=(",", ":"))
