"""What goes with each gene among candidates of like cost: how far from the usual score, by value of the gene.

Association in a sample that a search grew, not causation: genes are inherited together, and a search looks longest
where it already found good ones. Draws nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboards.analysis.genes import Gene, genes_of
from dashboards.analysis.per_frame import per_frame
from dashboards.analysis.selection import is_candidate
from dashboards.frame import Results
from dashboards.text import number

Floats = NDArray[np.float64]

LEAST_CANDIDATES: Final = 12
MAX_BINS: Final = 8
_LEAST_PER_BIN: Final = 6
"""Candidates a bin should hold on average: fewer candidates are told apart by fewer bins."""

NUM_SHUFFLES: Final = 200

_LEAST_IN_BAND: Final = 5
"""Candidates from which a share of 80 % can be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Candidates with like values of a gene."""

    label: str
    centre: float
    """Median value of the gene; the place in order where it is words."""

    median: float
    """Of the differences from the usual score."""

    low: float | None
    high: float | None
    """Between them lie 80 % of the differences; none where candidates are too few to say."""

    num_candidates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How scores differ along one gene."""

    gene: str
    label: str
    bins: tuple[Bin, ...]
    share: float
    """Of the variance of the ranked differences that the bins explain, less what as many bins explain by chance."""

    probability: float
    """How often the best of all genes explains as much when differences are shuffled among candidates."""

    @property
    def best(self) -> Bin:
        """The bin of the lowest median."""
        return min(self.bins, key=lambda one: one.median)


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """The effects of all genes, the strongest first."""

    effects: tuple[Effect, ...]
    chance: float
    """What the best of all genes explains by chance in one of twenty shufflings."""

    num_candidates: int
    is_relative: bool
    """Whether differences are shares of the usual score; otherwise they are in its unit."""


def differences(scores: Floats, costs: Floats | None) -> tuple[Floats, bool]:
    """Return how far each score lies from what is usual at its cost, and whether that is a share of it.

    What is usual is a smooth curve through scores over cost (a polynomial whose degree grows with the sample, fitted
    so that outliers count little), both logarithmic where they are positive; without costs it is the median.
    """
    is_relative = bool(np.all(scores > 0))
    values = np.log(scores) if is_relative else scores
    if costs is None or np.ptp(costs) == 0:
        usual = np.full_like(values, np.median(values))
    else:
        across = np.log(costs) if np.all(costs > 0) else costs
        across = (across - across.mean()) / across.std()
        degree = 1 if len(values) < 30 else 2 if len(values) < 200 else 3
        usual = _smooth(across, values, degree=min(degree, len(np.unique(across)) - 1))
    apart = values - usual
    return (np.expm1(apart) if is_relative else apart), is_relative


def study_association(results: Results) -> Association | None:
    """Return what goes with each gene for the first objective, at like cost by the second where there is one."""
    return _study_association(results.trials, *(objective.column for objective in results.objectives[:2]))


@per_frame
def _study_association(trials: pd.DataFrame, score: str, *cost: str) -> Association | None:
    finished = (is_candidate(trials) & (trials["status"] == "finished")).to_numpy(dtype=bool)
    genes = [replace(gene, values=gene.values[finished]) for gene in genes_of(trials).genes]
    scores, *costs = (trials.loc[finished, name].to_numpy(dtype=float, na_value=np.nan) for name in (score, *cost))
    return association(genes, scores, costs[0] if costs else None, seed=0)


def association(genes: Sequence[Gene], scores: Floats, costs: Floats | None, *, seed: int) -> Association | None:
    """Return what goes with each gene; none where too few candidates have a score.

    Args:
        genes: with one value a candidate.
        scores: lower is better; NaN where not known.
        costs: of the same candidates; without them all are compared with each other.
        seed: of the shufflings.
    """
    known = np.isfinite(scores) if costs is None else np.isfinite(scores) & np.isfinite(costs)
    if known.sum() < LEAST_CANDIDATES:
        return None
    apart, is_relative = differences(scores[known], None if costs is None else costs[known])
    grouped = [(gene, *_group(gene, known)) for gene in genes]
    grouped = [entry for entry in grouped if len(entry[2]) > 1]
    shares, shuffled = _explained(_ranks(apart), [codes for _, codes, _ in grouped], seed=seed)
    most = shuffled.max(axis=1) if grouped else np.zeros(NUM_SHUFFLES)
    effects = [
        Effect(
            gene=gene.name,
            label=gene.label,
            bins=tuple(
                _bin(apart[codes == code], label=label, centre=centre) for code, (label, centre) in enumerate(labels)
            ),
            share=float(max(0.0, share)),
            probability=float((1 + np.sum(most >= share)) / (1 + len(most))),
        )
        for (gene, codes, labels), share in zip(grouped, shares, strict=True)
    ]
    return Association(
        effects=tuple(sorted(effects, key=lambda effect: -effect.share)),
        chance=float(max(0.0, np.quantile(most, 0.95))),
        num_candidates=int(known.sum()),
        is_relative=is_relative,
    )


def _smooth(across: Floats, values: Floats, *, degree: int) -> Floats:
    """Return a polynomial fit in which values far off weigh little (bisquare weights, Beaton and Tukey 1974)."""
    powers = np.vander(across, degree + 1)
    weights = np.ones_like(values)
    usual = values
    for _ in range(6):
        root = np.sqrt(weights)
        coefficients, *_ = np.linalg.lstsq(powers * root[:, None], values * root, rcond=None)
        usual = powers @ coefficients
        scale = 4.685 * 1.4826 * float(np.median(np.abs(values - usual)))
        if scale == 0:
            break
        weights = np.clip(1 - ((values - usual) / scale) ** 2, 0, None) ** 2
    return usual


def _group(gene: Gene, known: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[tuple[str, float]]]:
    """Return the bin of each candidate (−1 without a value), and label and centre of every bin."""
    values = gene.values[known]
    codes = np.full(len(values), -1, dtype=np.int64)
    if not gene.is_number:
        words = sorted({value for value in values if value is not None})
        for code, word in enumerate(words):
            codes[values == word] = code
        return codes, [(str(word), float(place)) for place, word in enumerate(words)]
    valid = np.isfinite(values)
    distinct = np.unique(values[valid])
    num_bins = min(MAX_BINS, max(2, valid.sum() // _LEAST_PER_BIN))
    if len(distinct) <= num_bins:
        codes[valid] = np.searchsorted(distinct, values[valid])
        return codes, [(_written(value), float(value)) for value in distinct]
    edges = np.unique(np.quantile(values[valid], np.linspace(0, 1, num_bins + 1)))
    found = np.clip(np.searchsorted(edges, values[valid], side="right") - 1, 0, len(edges) - 2)
    # Ties can leave a bin between two edges empty.
    filled, codes[valid] = np.unique(found, return_inverse=True)
    labels = []
    for place in range(len(filled)):
        inside = values[codes == place]
        low, high = _written(inside.min()), _written(inside.max())
        labels.append((low if low == high else f"{low}–{high}", float(np.median(inside))))
    return codes, labels


def _written(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else number(value)


def _bin(apart: Floats, *, label: str, centre: float) -> Bin:
    has_band = len(apart) >= _LEAST_IN_BAND
    low, high = np.quantile(apart, (0.1, 0.9)) if has_band else (None, None)
    return Bin(
        label=label,
        centre=centre,
        median=float(np.median(apart)),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        num_candidates=len(apart),
    )


def _ranks(values: Floats) -> Floats:
    """Return ranks of mean 0 and variance 1, ties sharing theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    spread = ranks.std()
    return np.asarray((ranks - ranks.mean()) / (spread if spread else 1.0), dtype=float)


def _explained(ranks: Floats, grouped: Sequence[NDArray[np.int64]], *, seed: int) -> tuple[Floats, Floats]:
    """Return the share that each gene explains, as found (genes) and after shuffling (shufflings, genes)."""
    rng = np.random.default_rng(seed)
    rows = np.empty((NUM_SHUFFLES + 1, len(ranks)), dtype=np.float32)
    rows[0] = ranks
    rows[1:] = rng.permuted(np.broadcast_to(rows[0], (NUM_SHUFFLES, len(ranks))), axis=1)
    shares = np.empty((NUM_SHUFFLES + 1, len(grouped)))
    for place, codes in enumerate(grouped):
        known = codes >= 0
        inside = rows if known.all() else rows[:, known]
        members = np.eye(codes.max() + 1, dtype=np.float32)[codes[known]]
        sizes = members.sum(axis=0)
        means = (inside @ members) / sizes
        total, size = inside.mean(axis=1), len(members)
        spread = np.square(inside).sum(axis=1) - size * total**2
        between = (np.square(means - total[:, None]) * sizes).sum(axis=1)
        unexplained = 1 - between / np.maximum(spread, 1e-9)
        shares[:, place] = 1 - unexplained * (size - 1) / max(1, size - len(sizes))
    return shares[0], shares[1:]
