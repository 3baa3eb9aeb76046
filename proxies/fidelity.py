"""How well a cheap score ranks what a long training would: agreement of two lists of figures, both minimised.

Numbers only. What was trained, and where it is kept, is not here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

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

_MOST_PAIRS: Final = 20_000_000
"""Compared at once."""


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


def spearman(first_DN: Array, second_DN: Array) -> Array:
    """Return the rank correlation along the last axis; 0 where either list is constant."""
    first_ranks, second_ranks = (_centred(rankdata(values, axis=-1)) for values in (first_DN, second_DN))
    together = np.sum(first_ranks * second_ranks, axis=-1)
    apart = np.sqrt(np.sum(first_ranks**2, axis=-1) * np.sum(second_ranks**2, axis=-1))
    return _ratio(together, apart)


def kendall(first_DN: Array, second_DN: Array) -> Array:
    """Return how many more pairs are in order than not, as a share, along the last axis; 0 where a list is constant.

    Ties count as in tau-b.
    """
    if first_DN.ndim > 1 and first_DN.size * first_DN.shape[-1] > _MOST_PAIRS:
        half = len(first_DN) // 2
        if half:
            parts = ((first_DN[part], second_DN[part]) for part in (slice(half), slice(half, None)))
            return np.concatenate([kendall(*part) for part in parts])
    first_signs, second_signs = (
        np.sign(values[..., :, None] - values[..., None, :]) for values in (first_DN, second_DN)
    )
    together = np.sum(first_signs * second_signs, axis=(-2, -1))
    apart = np.sqrt(np.sum(first_signs**2, axis=(-2, -1)) * np.sum(second_signs**2, axis=(-2, -1)))
    return _ratio(together, apart)


def _centred(values: Array) -> Array:
    centred: Array = values - values.mean(axis=-1, keepdims=True)
    return centred


def _ratio(together: Array, apart: Array) -> Array:
    ratio: Array = np.divide(together, apart, out=np.zeros_like(together), where=apart > 0)
    return ratio


def bootstrap(statistic: Callable[[Array, Array], Array], first: Array, second: Array, *, seed: int) -> Estimate:
    """Return a statistic of pairs with the interval of the same over pairs drawn with replacement."""
    rows_DN = _draws(len(first), seed=seed)
    low, high = np.quantile(statistic(first[rows_DN], second[rows_DN]), ((1 - COVERED) / 2, (1 + COVERED) / 2))
    return Estimate(float(statistic(first, second)), float(low), float(high))


def _draws(num: int, *, seed: int) -> NDArray[np.int64]:
    """Return the places of every bootstrap draw, one draw a row."""
    return np.random.default_rng(seed).integers(num, size=(DRAWS, num))


def probability_of_beating(
    score: Sequence[float], other: Sequence[float], truth: Sequence[float], *, seed: int
) -> float:
    """Return the share of bootstrap draws in which a score ranks candidates better than another does.

    Draws in which both rank equally well count for neither.

    Raises:
        FidelityError: see `agreement`.
    """
    score_N, truth_N = _checked(score, truth)
    other_N, _ = _checked(other, truth)
    rows_DN = _draws(len(score_N), seed=seed)
    truth_DN = truth_N[rows_DN]
    return float(np.mean(spearman(score_N[rows_DN], truth_DN) > spearman(other_N[rows_DN], truth_DN)))


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
