"""How well predicted latencies agree with measured ones over many models: errors in percent, and orders.

Arithmetic only; what is predicted and measured is the caller's affair.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from search_spaces.errors import SpecError

CLEAR_MARGIN: Final = 0.1
"""Pairs of models whose measured latencies differ by more than this share are clearly ordered; the rest are close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Predicted against measured latency; errors in percent of the measured."""

    num_models: int

    mape: float
    """Mean absolute error."""

    bias: float
    """Mean signed error; positive where predictions are too high."""

    p95: float
    """95th percentile of the absolute error."""

    spearman: float
    """Correlation of the ranks; NaN where all are predicted, or measured, alike."""

    clear_pairs_ordered: float
    """Percentage of the pairs more than 10 % apart whose order is predicted right; NaN where there are none."""

    close_pairs_ordered: float
    """The same for the pairs within 10 %."""


def accuracy(*, predicted_ms: ArrayLike, measured_ms: ArrayLike) -> Accuracy:
    """Return how far off and how well ordered the predictions are.

    Raises:
        SpecError: fewer than two models, or as many of one as not of the other.
    """
    predicted, measured = np.asarray(predicted_ms, dtype=np.float64), np.asarray(measured_ms, dtype=np.float64)
    if predicted.shape != measured.shape or predicted.ndim != 1 or len(predicted) < 2:
        raise SpecError(
            "Accuracy needs one predicted and one measured latency each of at least two models; got "
            f"{predicted.shape} and {measured.shape}."
        )
    error = relative_error(predicted_ms=predicted, measured_ms=measured)
    pairs = list(combinations(range(len(measured)), 2))
    is_right = np.array([(predicted[i] < predicted[j]) == (measured[i] < measured[j]) for i, j in pairs])
    larger = np.array([max(measured[i], measured[j]) / min(measured[i], measured[j]) for i, j in pairs])
    is_clear = larger > 1 + CLEAR_MARGIN
    return Accuracy(
        num_models=len(measured),
        mape=100 * float(np.abs(error).mean()),
        bias=100 * float(error.mean()),
        p95=100 * float(np.percentile(np.abs(error), 95)),
        spearman=_correlation(_ranks(predicted), _ranks(measured)),
        clear_pairs_ordered=_percent(is_right[is_clear]),
        close_pairs_ordered=_percent(is_right[~is_clear]),
    )


def relative_error(*, predicted_ms: NDArray[np.float64], measured_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (predicted − measured) / measured."""
    return predicted_ms / measured_ms - 1


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from 0, equal values sharing their mean rank."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[group]


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    if not x.std() or not y.std():
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _percent(is_right: NDArray[np.bool_]) -> float:
    return 100 * float(is_right.mean()) if len(is_right) else float("nan")
