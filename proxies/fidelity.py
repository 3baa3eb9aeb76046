"""How well a cheap score ranks what a long training would: agreement of two lists of figures, both minimised.

Numbers only. What was trained, and where it is kept, is not here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from proxies.errors import FidelityError

Array = NDArray[np.float64]

LEAST_CANDIDATES: Final = 5
"""With fewer a rank correlation says nothing."""

EQUAL_PARAMETERS: Final = 0.10
"""Candidates count as equally large whose parameters differ by no more than this share of a common size."""

LEAST_EQUAL: Final = 5

DRAWS: Final = 1000
COVERED: Final = 0.9
"""Of the bootstrap draws; an interval holds the middle ones."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the interval that resampled candidates give it."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How one score ranks candidates, against what long training says of them."""

    spearman: Estimate
    kendall: Estimate
    top_k: int
    has_best_in_top_k: bool
    """Whether the candidate that is best in truth is among the first `top_k` of the score."""

    regret: float
    """By what share the score's first choice is worse than the best, in the truth's own unit."""

    num_candidates: int


def agreement(score: Sequence[float], truth: Sequence[float], *, top_k: int = 3, seed: int) -> Agreement:
    """Compare a score with the truth, candidate by candidate.

    Raises:
        FidelityError: fewer than five candidates, lists of different length, or figures that are not finite.
    """
    score_N, truth_N = _checked(score, truth)
    order = np.argsort(score_N, kind="stable")
    best = int(np.argmin(truth_N))
    return Agreement(
        spearman=bootstrap(spearman, score_N, truth_N, seed=seed),
        kendall=bootstrap(kendall, score_N, truth_N, seed=seed),
        top_k=top_k,
        has_best_in_top_k=best in order[:top_k],
        regret=float(truth_N[order[0]] / truth_N[best] - 1),
        num_candidates=len(score_N),
    )


def spearman(first: Array, second: Array) -> float:
    """Return the rank correlation; 0 where either list is constant."""
    return _defined(spearmanr, first, second)


def kendall(first: Array, second: Array) -> float:
    """Return how many more pairs are in order than not, as a share; 0 where either list is constant."""
    return _defined(kendalltau, first, second)


def _defined(correlation: Callable[..., tuple[float, float]], first: Array, second: Array) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(correlation(first, second)[0])


def bootstrap(statistic: Callable[[Array, Array], float], first: Array, second: Array, *, seed: int) -> Estimate:
    """Return a statistic of pairs with the interval of the same over pairs drawn with replacement."""
    rng = np.random.default_rng(seed)
    drawn = [statistic(first[rows], second[rows]) for rows in rng.integers(len(first), size=(DRAWS, len(first)))]
    low, high = np.quantile(drawn, ((1 - COVERED) / 2, (1 + COVERED) / 2))
    return Estimate(statistic(first, second), float(low), float(high))


def probability_of_beating(
    score: Sequence[float], other: Sequence[float], truth: Sequence[float], *, seed: int
) -> float:
    """Return the share of bootstrap draws in which a score ranks candidates better than another does.

    Raises:
        FidelityError: see `agreement`.
    """
    score_N, truth_N = _checked(score, truth)
    other_N, _ = _checked(other, truth)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(score_N), size=(DRAWS, len(score_N)))
    wins = [spearman(score_N[rows], truth_N[rows]) > spearman(other_N[rows], truth_N[rows]) for rows in draws]
    return float(np.mean(wins))


def equally_large(num_parameters: Sequence[float]) -> list[int]:
    """Return the places of the most candidates that are within `EQUAL_PARAMETERS` of one size; few may be none."""
    sizes = np.asarray(num_parameters, dtype=np.float64)
    best: list[int] = []
    for size in sizes:
        # `size` as the smallest of a group whose middle lies a tenth above.
        inside = (sizes >= size) & (sizes <= size * (1 + EQUAL_PARAMETERS) / (1 - EQUAL_PARAMETERS))
        places = [int(place) for place in np.flatnonzero(inside)]
        best = places if len(places) > len(best) else best
    return best if len(best) >= LEAST_EQUAL else []


def _checked(score: Sequence[float], truth: Sequence[float]) -> tuple[Array, Array]:
    score_N, truth_N = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if score_N.shape != truth_N.shape or score_N.ndim != 1:
        raise FidelityError(f"A score and the truth must be of the same candidates; got {len(score)} and {len(truth)}.")
    if len(score_N) < LEAST_CANDIDATES:
        raise FidelityError(
            f"A rank correlation needs at least {LEAST_CANDIDATES} candidates; got {len(score_N)}. Train more of them."
        )
    if not (np.isfinite(score_N).all() and np.isfinite(truth_N).all()):
        raise FidelityError("Scores and truths must be finite numbers. Leave out candidates that failed.")
    return score_N, truth_N
