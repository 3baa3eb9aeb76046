"""What is proposed, what is under evaluation, and what came of it.

Plain frozen data; how it is stored is `study.py`, how it is produced `evolution/` and `engine.py`.
"""

import json
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, overload

from nas.pareto import frontier_indices
from proxies.rungs import Rungs
from search_spaces import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

G = TypeVar("G", bound=Hashable)

Origin = Literal["random", "seed", "mutation", "suggested", "repeat"]
"""Where a genome came from. What is `suggested` comes from a sampler and has no parent. A `repeat` is an earlier
candidate under another seed: it measures noise, and the mean of all its evaluations ranks the candidate."""

OF_FRONTIER: Final = "of_frontier"
"""In a repeat's `sampling`: its candidate was not drawn at random, but is or was on the frontier."""

Status = Literal["finished", "failed", "infeasible", "stopped"]
"""`infeasible`: evaluated, but above a constraint. `stopped`: ended early, since others did better by then."""

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

    @property
    def measures_noise(self) -> bool:
        """Whether it is the repeat of a candidate drawn at random: those of the frontier are of lucky ones."""
        return self.repeat_of is not None and OF_FRONTIER not in self.sampling


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

    rungs: Rungs | None = None
    """Where its evaluation is looked at early, and may be stopped; none: it goes to its end."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """An evaluation that ended early at a rung. Neither objectives nor a failure."""

    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready: what was seen until then; `rung_losses` among it."""


Outcome = Evaluated | Stopped | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Generic[G]):
    """A trial that ended."""

    candidate: Candidate[G]
    status: Status
    objectives: Mapping[str, float]
    """Cheap and expensive objectives merged; only the cheap ones where the evaluation failed or was stopped.
    Where a history ranks, means over the candidate's evaluations."""

    failure: Failed | None
    is_penalised: bool = False
    """Whether models are to learn from this failure as from the worst candidate seen."""

    expected: float | None = None
    """What the first objective of a stopped trial would likely have become; none where it is known or unknowable."""

    bounds: Mapping[str, float] = field(default_factory=dict)
    """Upper bounds on expensive objectives by which its status was judged."""

    attempts: tuple[Failed, ...] = ()
    """Failures after which it was evaluated once more, the first one first."""

    num_evaluations: int = 1
    """Evaluations under different seeds that the objectives are means of."""

    deviation: float | None = None
    """Standard deviation of the first objective over them; none where there is one."""

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
    """Ended trials, in the order they ended. Grows; what strategies ask of it costs little however long it is.

    As a sequence it holds what came of each trial. What it ranks (`finished`, `youngest`, `frontier`) are candidates
    with the means over their repeats.
    """

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
        self._penalised: list[Record[G]] = []
        self._stopped: list[Record[G]] = []
        self._means: dict[int, Record[G]] = {}
        self._firsts: dict[int, Record[G]] = {}
        self._repeats: defaultdict[int, list[Record[G]]] = defaultdict(list)
        # The frontier of many at once costs less than of one after the other.
        for record in sorted(records, key=lambda record: record.finish_index):
            self._add(record)
        for number in self._repeats:
            self._give_means(number)
        self._find_frontier()

    def append(self, record: Record[G]) -> None:
        """Add the trial that ended last."""
        self._add(record)
        repeated = record.candidate.proposal.repeat_of
        if repeated is None and record.status == "finished":
            self._extend_frontier(record)
        elif repeated is not None and record.status != "failed" and self._give_means(repeated):
            # What it alone dominated may be on the frontier now.
            self._find_frontier()

    def _add(self, record: Record[G]) -> None:
        self._records.append(record)
        self.fingerprints.add(record.candidate.fingerprint)
        repeated = record.candidate.proposal.repeat_of
        if repeated is not None:
            self._repeats[repeated].append(record)
            return
        insort(self._candidate_numbers, record.number)
        if record.is_penalised:
            self._penalised.append(record)
        if record.status == "stopped":
            self._stopped.append(record)
        if record.status != "finished":
            return
        self._firsts[record.number] = record
        self._finished.append(record)
        insort(self._finished_by_number, record, key=lambda known: known.number)

    def _extend_frontier(self, record: Record[G]) -> None:
        point = self._point(record)
        if not any(_is_nowhere_worse(self._point(member), point) for member in self._frontier):
            kept = [member for member in self._frontier if not _is_nowhere_worse(point, self._point(member))]
            self._frontier = [*kept, record]

    def _give_means(self, number: int) -> bool:
        """Give a candidate the means over its repeats; return whether it was ever ranked.

        One whose mean is above a bound is ranked no more, until another repeat says otherwise.
        """
        first = self._firsts.get(number)
        if first is None:
            return False
        record = self._means[number] = _with_means(first, self._repeats[number], objectives=self.objectives)
        self._finished = [known for known in self._finished if known.number != number]
        self._finished_by_number = [known for known in self._finished_by_number if known.number != number]
        if record.status == "finished":
            insort(self._finished, record, key=lambda known: known.finish_index)
            insort(self._finished_by_number, record, key=lambda known: known.number)
        return True

    def _find_frontier(self) -> None:
        indices = frontier_indices(self.points(self._finished))
        self._frontier = [self._finished[index] for index in indices]

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

    def ranked(self, record: Record[G]) -> Record[G]:
        """Return a trial as it is ranked: with the means, where it was evaluated more than once."""
        return self._means.get(record.number, record)

    def penalised(self) -> list[Record[G]]:
        """Return the failed candidates that count as the worst seen."""
        return list(self._penalised)

    def stopped(self) -> list[Record[G]]:
        """Return the candidates that were stopped early: never parents, and on no frontier."""
        return list(self._stopped)

    def num_repeats(self, number: int) -> int:
        """Return how often a candidate was evaluated again, whatever came of it."""
        return len(self._repeats.get(number, ()))

    def points(self, records: Sequence[Record[G]]) -> list[tuple[float, ...]]:
        """Return the objective vectors of records that have them."""
        if len(self.objectives) < 2:  # one value would come without its tuple
            return [self._point(record) for record in records]
        point = itemgetter(*self.objectives)
        return [point(record.objectives) for record in records]

    def frontier(self) -> list[Record[G]]:
        """Return the non-dominated candidates, of equal ones the first, sorted by the last objective."""
        return sorted(self._frontier, key=lambda record: (record.objectives[self.objectives[-1]], record.finish_index))

    def _point(self, record: Record[G]) -> tuple[float, ...]:
        return tuple(record.objectives[name] for name in self.objectives)

    def results_frame(self) -> "pd.DataFrame":
        """Return one row per trial; the columns are documented in `dashboards/frame.py`."""
        from nas.results.frame import results_frame

        return results_frame(self)


def _with_means(record: Record[G], repeats: Iterable[Record[G]], *, objectives: Sequence[str]) -> Record[G]:
    evaluated = [record, *(repeat for repeat in repeats if repeat.status != "failed")]
    means = {name: fmean(one.objectives[name] for one in evaluated) for name in objectives}
    is_above = any(means[name] > bound for name, bound in record.bounds.items())
    return replace(
        record,
        status="infeasible" if is_above else "finished",
        details={**record.details, **_mean_details(evaluated)},
        objectives={**record.objectives, **means},
        num_evaluations=len(evaluated),
        deviation=stdev(one.objectives[objectives[0]] for one in evaluated) if len(evaluated) > 1 else None,
    )


def _mean_details(evaluated: Sequence[Record[G]]) -> dict[str, float]:
    """Return the means of what every evaluation measured."""
    names = [name for name, value in evaluated[0].details.items() if isinstance(value, float)]
    return {
        name: fmean(one.details[name] for one in evaluated)
        for name in names
        if all(isinstance(one.details.get(name), float) for one in evaluated)
    }


def _is_nowhere_worse(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(first, second, strict=True))


def fingerprint_of(space: SearchSpace[G], genome: G) -> str:
    """Return what names a candidate: its decoded architecture's fingerprint, or its canonical JSON."""
    decoded = space.decode(genome)
    own: Callable[[], str] | None = getattr(decoded, "fingerprint", None)
    if own is not None:
        return own()
    return json.dumps(space.to_dict(genome), sort_keys=True, separators=(",", ":"))
