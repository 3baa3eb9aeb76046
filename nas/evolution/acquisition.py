"""What a genome promises: the hypervolume it is expected to add, given a belief about what must be evaluated.

Numbers only; every objective is minimised. The expensive objectives are normal, the cheap ones exact.
"""

import numpy as np
import scipy  # its parts are loaded when they are used, which a reader of a run never does
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DRAWS = 32
_LEAST_DEVIATION = 1e-12


def expected_improvement(level: Array, mean: Array, deviation: Array) -> Array:
    """Return E[max(0, level − y)] for normal y, elementwise."""
    deviation = np.maximum(deviation, _LEAST_DEVIATION)  # of a constant objective there is none
    below = level - mean
    z = below / deviation
    gain: Array = below * scipy.special.ndtr(z) + deviation * np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
    return gain


class ExpectedGain:
    """What candidates are expected to add to a frontier; it may be told to count some as already there."""

    def __init__(self, points: Array, *, num_expensive: int, rng: np.random.Generator) -> None:
        """Take the points seen, [N, M], expensive objectives first."""
        self._points = points
        self._reference = self._points.max(0)
        self._num_expensive = num_expensive
        self._normal = rng.standard_normal((_DRAWS, 1, num_expensive))

    def __call__(self, mean: Array, deviation: Array, cheap: Array) -> Array:
        """Return the gain [P] of candidates with means and deviations [P, E] and cheap objectives [P, C]."""
        if self._num_expensive == 1 and cheap.shape[1] <= 1:
            return self._exact(mean[:, 0], deviation[:, 0], cheap)
        return self._sampled(mean, deviation, cheap)

    def suppose(self, mean: Array, cheap: Array) -> None:
        """Count a candidate as seen at its mean: the next of a batch is to bring something else."""
        self._points = np.vstack([self._points, np.concatenate([mean, cheap])])

    def _exact(self, mean: Array, deviation: Array, cheap: Array) -> Array:
        """Return the hypervolume: along the cheap objective the frontier is a staircase of levels to get below."""
        if cheap.shape[1] == 0:
            return expected_improvement(self._points[:, 0].min(), mean, deviation)
        order = np.lexsort((self._points[:, 0], self._points[:, 1]))
        level = np.minimum.accumulate(self._points[order, 0])
        is_step = np.concatenate(([True], level[1:] < level[:-1]))
        levels = np.concatenate(([self._reference[0]], level[is_step]))
        edges = np.concatenate(([-np.inf], self._points[order, 1][is_step], [self._reference[1]]))
        width = np.maximum(edges[None, 1:] - np.maximum(edges[None, :-1], cheap), 0.0)
        gain = expected_improvement(levels[None, :], mean[:, None], deviation[:, None])
        total: Array = (width * gain).sum(1)
        return total

    def _sampled(self, mean: Array, deviation: Array, cheap: Array) -> Array:
        """Return the expected distance by which a candidate is ahead of the frontier in its best objective.

        The maximin improvement of Svenson and Santner 2016: it has no corners that two objectives lack, and any number
        of objectives costs the same. Objectives are scaled by their range.
        """
        scale = np.ptp(self._points, axis=0)
        scale[scale == 0] = 1.0
        frontier = _non_dominated(self._points) / scale
        drawn = mean[None] + deviation[None] * self._normal
        values = np.concatenate([drawn, np.broadcast_to(cheap, (_DRAWS, *cheap.shape))], axis=2) / scale
        ahead = np.full(values.shape[:2], np.inf)
        for member in frontier:
            ahead = np.minimum(ahead, (member - values).max(2))
        total: Array = np.maximum(ahead, 0.0).mean(0)
        return total


def _non_dominated(points: Array) -> Array:
    kept: list[Array] = []
    for point in points[np.lexsort(points.T[::-1])]:
        if not any(bool((other <= point).all()) for other in kept):
            kept.append(point)
    return np.array(kept)
