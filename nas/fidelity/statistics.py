"""How every score ranks candidates against longer training: over all of them, and over those of one size."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, variance
from typing import Any, Final

from nas.fidelity.rows import FidelityRow
from proxies.errors import FidelityError
from proxies.fidelity import (
    LEAST_CANDIDATES,
    Agreement,
    Estimate,
    agreement,
    equally_large,
    probability_of_beating,
)
from proxies.projection import out_of_sample
from proxies.zero_cost import ZERO_COST_SCORES

RAW: Final = "perplexity"
PROJECTED: Final = "projection"

LIKELY_WORSE: Final = 0.95
"""A shorter training ranks worse than the run's when in so many of the bootstrap draws it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Every score against the perplexity after one longer training."""

    times: float
    trials: tuple[int, ...]
    """Candidates that were trained so long."""

    scores: Mapping[str, Agreement]
    """By name, in the order to show: the run's perplexity, its projection, other lengths, scores without training."""

    equally_large: Mapping[str, Agreement]
    """The same over the most candidates of one size; empty where there are too few."""

    projection_beats_perplexity: float
    """Share of bootstrap draws in which the projection ranks better than the perplexity it projects."""

    perplexity_beats_projection: float
    """Share of those in which it ranks worse; in the rest, as where projecting changes no order, both rank equally."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return asdict(self)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Comparison":
        """Read what `to_dict` wrote."""
        groups = {
            group: {name: _agreement(content) for name, content in mapping[group].items()}
            for group in ("scores", "equally_large")
        }
        # Earlier records do not say in how many draws raw is better: of none of them it is claimed.
        content = {"perplexity_beats_projection": 0.0} | dict(mapping)
        return cls(**content | groups | {"trials": tuple(mapping["trials"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shorter:
    """Whether a shorter training ranks as the run's does."""

    times: float
    spearman: Estimate
    run_is_better: float
    """Share of bootstrap draws in which the run's perplexity ranks better."""

    @property
    def ranks_as_well(self) -> bool:
        """Whether the difference is within what resampled candidates give."""
        return self.run_is_better < LIKELY_WORSE

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Shorter":
        """Read what `asdict` gave."""
        return cls(**dict(mapping) | {"spearman": Estimate(**mapping["spearman"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What another seed makes of the perplexity at one length."""

    times: float
    deviation: float
    """Standard deviation of ln perplexity over seeds, pooled over candidates."""

    num_candidates: int


def compare(rows: Sequence[FidelityRow], *, times: float, lengths: Sequence[float], seed: int) -> Comparison:
    """Compare every score with the perplexity after trainings of one length.

    Args:
        rows: of all candidates.
        times: the length that counts as the truth, its seeds averaged.
        lengths: all that were trained; of shorter ones the first seed is a score.
        seed: of the bootstrap.

    Raises:
        FidelityError: too few candidates were trained so long.
    """
    judged = [(row, truth) for row in rows if (truth := row.at(times)) is not None]
    if len(judged) < LEAST_CANDIDATES:
        raise FidelityError(
            f"How a score ranks is judged by at least {LEAST_CANDIDATES} candidates; {len(judged)} of {len(rows)} "
            f"were trained {times:g} times as long."
        )
    alike = equally_large([row.num_parameters for row, _ in judged])
    everything = _scores([row for row, _ in judged], [truth for _, truth in judged], times=times, lengths=lengths)
    truths = [truth for _, truth in judged]
    projected, raw = _whole(everything[PROJECTED]), _whole(everything[RAW])
    return Comparison(
        times=times,
        trials=tuple(row.trial for row, _ in judged),
        scores=_agreements(everything, truths, places=range(len(judged)), seed=seed),
        equally_large=_agreements(everything, truths, places=alike, seed=seed),
        projection_beats_perplexity=probability_of_beating(projected, raw, truths, seed=seed),
        perplexity_beats_projection=probability_of_beating(raw, projected, truths, seed=seed),
    )


def shorter_trainings(
    rows: Sequence[FidelityRow], *, times: float, lengths: Sequence[float], first_seed: int, seed: int
) -> list[Shorter]:
    """Return how shorter trainings than the run's rank, the shortest first.

    Args:
        rows: of all candidates.
        times: the length that counts as the truth.
        lengths: that were trained.
        first_seed: of the trainings: a search sees one.
        seed: of the bootstrap.
    """
    found = []
    for length in sorted(length for length in lengths if length < 1):
        known = [
            (score, row.perplexity, truth)
            for row in rows
            if (score := row.once(length, seed=first_seed)) is not None and (truth := row.at(times)) is not None
        ]
        if len(known) < LEAST_CANDIDATES:
            continue
        scores, run, truths = (list(column) for column in zip(*known, strict=True))
        found.append(
            Shorter(
                times=length,
                spearman=agreement(scores, truths, seed=seed).spearman,
                run_is_better=probability_of_beating(run, scores, truths, seed=seed),
            )
        )
    return found


def noise_over_seeds(rows: Sequence[FidelityRow], *, times: float) -> Noise | None:
    """Return what seeds make of the perplexity at a length, none where nothing was trained twice."""
    groups = [list(row.trained.get(times, {}).values()) for row in rows]
    variances = [variance(map(math.log, group)) for group in groups if len(group) > 1]
    if not variances:
        return None
    return Noise(times=times, deviation=math.sqrt(fmean(variances)), num_candidates=len(variances))


def length_name(times: float) -> str:
    """Return what the score of a training of some length is called."""
    return f"trained {times:g}×"


def _scores(
    rows: Sequence[FidelityRow], truths: Sequence[float], *, times: float, lengths: Sequence[float]
) -> dict[str, list[float | None]]:
    """Return every score of every candidate, by name; none where it is not known."""
    raw = [row.perplexity for row in rows]
    traits = [row.traits for row in rows]
    scores: dict[str, list[float | None]] = {RAW: [*raw], PROJECTED: [*out_of_sample(raw, traits, truths)]}
    for length in sorted(length for length in lengths if length < times):
        scores[length_name(length)] = [_first(row, length) for row in rows]
    return scores | {name: [row.scores.get(name) for row in rows] for name in ZERO_COST_SCORES}


def _first(row: FidelityRow, times: float) -> float | None:
    by_seed = row.trained.get(times, {})
    return by_seed[min(by_seed)] if by_seed else None


def _agreements(
    scores: Mapping[str, Sequence[float | None]], truths: Sequence[float], *, places: Sequence[int], seed: int
) -> dict[str, Agreement]:
    """Return the agreement of every score that enough of some candidates have."""
    found = {}
    for name, values in scores.items():
        known = [(value, truths[place]) for place in places if (value := values[place]) is not None]
        if len(known) >= LEAST_CANDIDATES:
            found[name] = agreement([value for value, _ in known], [truth for _, truth in known], seed=seed)
    return found


def _whole(values: Sequence[float | None]) -> list[float]:
    known = [value for value in values if value is not None]
    assert len(known) == len(values)  # the run has them all
    return known


def _agreement(mapping: Mapping[str, Any]) -> Agreement:
    correlations = {name: Estimate(**mapping[name]) for name in ("spearman", "kendall")}
    return Agreement(**dict(mapping) | correlations)
