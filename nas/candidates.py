"""What is proposed, what is under evaluation, and what came of it.

Plain frozen data; how it is stored is `study.py`, how it is produced `evolution/` and `engine.py`.
"""

import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from nas.pareto import frontier_indices
from search_spaces import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

G = TypeVar("G", bound=Hashable)

Origin = Literal["random", "seed", "mutation", "repeat"]
"""Where a genome came from. A `repeat` is an earlier candidate under another training seed: it measures noise."""

Status = Literal["finished", "failed", "infeasible"]
"""`infeasible`: evaluated, but above a constraint."""

FailureKind = Literal["out_of_memory", "diverged", "unbuildable", "lost_worker", "bug"]


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
    """Ended trials, in the order they ended."""

    def __init__(self, records: Sequence[Record[G]], *, objectives: Sequence[str], space: SearchSpace[G]) -> None:
        self._records = tuple(sorted(records, key=lambda record: record.finish_index))
        self.objectives = tuple(objectives)
        """Names of all objectives, the expensive ones first; every one is minimised."""
        self.space = space

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

    def finished(self) -> list[Record[G]]:
        """Return the feasible candidates that have every objective, repeats left out."""
        return [record for record in self._records if record.status == "finished" and not record.is_repeat]

    def points(self, records: Sequence[Record[G]]) -> list[tuple[float, ...]]:
        """Return the objective vectors of records that have them."""
        return [tuple(record.objectives[name] for name in self.objectives) for record in records]

    def frontier(self) -> list[Record[G]]:
        """Return the non-dominated candidates, sorted by the last objective."""
        finished = self.finished()
        members = [finished[index] for index in frontier_indices(self.points(finished))]
        return sorted(members, key=lambda record: record.objectives[self.objectives[-1]])

    def results_frame(self) -> "pd.DataFrame":
        """Return one row per trial; the columns are documented in `dashboards/frame.py`."""
        from nas.results import results_frame

        return results_frame(self)


def fingerprint_of(space: SearchSpace[G], genome: G) -> str:
    """Return what names a candidate: its decoded architecture's fingerprint, or its canonical JSON."""
    decoded = space.decode(genome)
    own: Callable[[], str] | None = getattr(decoded, "fingerprint", None)
    if own is not None:
        return own()
    return json.dumps(space.to_dict(genome), sort_keys=True, separators=(",", ":"))
