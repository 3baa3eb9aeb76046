"""A run's candidates by raw and by projected perplexity, and the frontier each of the two gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nas.candidates import Record
from nas.fidelity.ranked_by import without_record
from nas.fidelity.report import load_report
from nas.fidelity.rows import trained_model
from nas.pareto import frontier_indices
from nas.run import Run
from operators.cost import num_parameters
from proxies.errors import FidelityError
from proxies.projection import Projection, prior_projection
from proxies.traits import Traits, traits_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCandidate:
    """One candidate under both scores."""

    trial: int
    pattern: str
    num_parameters: int
    """Of the model that was trained."""

    perplexity: float
    projected: float
    rank: int
    """By raw perplexity, 1 for the best."""

    projected_rank: int
    is_frontier: bool
    is_projected_frontier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All candidates of a run, the best projected first."""

    candidates: tuple[ScoredCandidate, ...]
    projection: Projection
    why: str
    """Where the projection comes from."""

    @property
    def joining(self) -> list[int]:
        """Trials that only the projection has on the frontier."""
        return sorted(one.trial for one in self.candidates if one.is_projected_frontier and not one.is_frontier)

    @property
    def leaving(self) -> list[int]:
        """Trials that only raw perplexity has on the frontier."""
        return sorted(one.trial for one in self.candidates if one.is_frontier and not one.is_projected_frontier)


def rank(run: Run) -> Ranking:
    """Return the candidates of a run under both scores.

    Raises:
        FidelityError: none has finished.
        StudyError: its `fidelity.json` cannot be read.
    """
    history = run.study.history()
    finished = sorted(history.finished(), key=lambda record: record.number)
    if not finished:
        raise FidelityError(f"No candidate of {run.directory.path} has finished, so there is none to rank.")
    models = [trained_model(record.candidate.description) for record in finished]
    sizes = [num_parameters(model) for model in models]
    traits = [traits_of(model) for model in models]
    projection, why = _projection(run, traits)
    raw = [record.objectives["perplexity"] for record in finished]
    projected = [projection(perplexity, one) for perplexity, one in zip(raw, traits, strict=True)]
    ranks, projected_ranks = _ranks(raw), _ranks(projected)
    frontier = {record.number for record in history.frontier()}
    points = [
        _projected_point(record, value, history.objectives) for record, value in zip(finished, projected, strict=True)
    ]
    projected_frontier = {finished[index].number for index in frontier_indices(points)}
    candidates = [
        ScoredCandidate(
            trial=record.number,
            pattern=models[place].pattern,
            num_parameters=sizes[place],
            perplexity=raw[place],
            projected=projected[place],
            rank=ranks[place],
            projected_rank=projected_ranks[place],
            is_frontier=record.number in frontier,
            is_projected_frontier=record.number in projected_frontier,
        )
        for place, record in enumerate(finished)
    ]
    return Ranking(
        candidates=tuple(sorted(candidates, key=lambda one: one.projected_rank)), projection=projection, why=why
    )


def _projection(run: Run, traits: Sequence[Traits]) -> tuple[Projection, str]:
    report = load_report(run.directory.path)
    if report is not None:
        num, times = report.projection.num_long_trainings, report.longest.times
        return report.projection, f"learnt from {num} of its candidates trained {times:g} times as long"
    path = run.directory.path
    return prior_projection(traits), (
        f"the prior: {without_record(path)}, so only order and differences mean anything. "
        f"Learn it with `nas proxy fidelity {path}`"
    )


def _ranks(values: list[float]) -> list[int]:
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0] * len(values)
    for position, place in enumerate(order, start=1):
        ranks[place] = position
    return ranks


def _projected_point(record: Record[Any], projected: float, objectives: tuple[str, ...]) -> tuple[float, ...]:
    values = {**record.objectives, "perplexity": projected}
    return tuple(values[name] for name in objectives)
