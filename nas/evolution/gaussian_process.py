"""A Gaussian process over the features of genomes: what an objective will be, and how well that is known.

It knows numbers, not genomes. Features may be quantities or codes of categories: the likelihood of what was seen
decides how much of the objective is linear in them, how far similarity reaches, and whether two values of a code are
merely different or more and less alike. Rasmussen and Williams 2006, chapters 2 and 5.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import scipy  # its parts are loaded when they are used, which a reader of a run never does
from numpy.typing import NDArray

Array = NDArray[np.float64]

MOST_CODES: Final = 16
"""A feature of at most so many values may be a code."""

_REACH: Final = (0.3, 1.0, 3.0)
"""Length scales of similarity, over the median distance."""

_LINEAR_SHARE: Final = (0.0, 0.5, 0.9, 1.0)
_NOISE: Final = (1e-3, 1e-2, 1e-1, 0.5)
"""Variance of noise over that of the signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernel:
    """Hyperparameters."""

    linear_share: float
    reach: float
    is_coded: bool
    """Whether codes are compared as equal or not, rather than as quantities."""

    noise: float


class GaussianProcess:
    """Fitted once to values [N] at features [N, D]; hyperparameters by maximum likelihood over a grid."""

    def __init__(self, features_ND: Array, values_N: Array) -> None:
        self._encoding = _Encoding(features_ND)
        self._mean, self._scale = float(values_N.mean()), float(values_N.std()) or 1.0
        z_N = (values_N - self._mean) / self._scale
        self._seen = {coded: self._encoding(features_ND, coded=coded) for coded in self._encoding.kinds}
        self._centre = {coded: x.mean(0) for coded, x in self._seen.items()}
        self._linear_scale, self._distance_scale = {}, {}
        fitted: tuple[float, _Kernel, Array, Array] | None = None
        for coded, x_NE in self._seen.items():
            centred = x_NE - self._centre[coded]
            linear = centred @ centred.T
            self._linear_scale[coded] = float(np.trace(linear)) / len(z_N) or 1.0
            distance = _squared_distances(x_NE, x_NE)
            self._distance_scale[coded] = float(np.median(distance[np.triu_indices(len(z_N), 1)])) or 1.0
            for share, reach in product(_LINEAR_SHARE, _REACH):
                if share == 1.0 and reach != _REACH[0]:
                    continue  # without a part that is similar, its reach is no matter
                signal = share * linear / self._linear_scale[coded]
                signal += (1 - share) * np.exp(-distance / (reach * self._distance_scale[coded]))
                for noise in _NOISE:
                    found = _likelihood(signal, z_N, noise=noise)
                    if found is not None and (fitted is None or found[0] > fitted[0]):
                        kernel = _Kernel(linear_share=share, reach=reach, is_coded=coded, noise=noise)
                        fitted = (found[0], kernel, found[1], found[2])
        assert fitted is not None, "noise makes every kernel positive definite"
        _, self.kernel, self._factor, self._weights = fitted
        self._variance = float(z_N @ self._weights) / len(z_N)
        self._left_out = self._leave_one_out(z_N)

    def predict(self, features_ND: Array) -> tuple[Array, Array]:
        """Return means [N] and standard deviations [N], noise left out."""
        kernel, coded = self.kernel, self.kernel.is_coded
        x_NE = self._encoding(features_ND, coded=coded)
        centred = x_NE - self._centre[coded]
        linear = centred @ (self._seen[coded] - self._centre[coded]).T / self._linear_scale[coded]
        distance = _squared_distances(x_NE, self._seen[coded])
        similar = np.exp(-distance / (kernel.reach * self._distance_scale[coded]))
        shared = kernel.linear_share * linear + (1 - kernel.linear_share) * similar
        own = kernel.linear_share * (centred**2).sum(1) / self._linear_scale[coded] + 1 - kernel.linear_share
        known = (shared * scipy.linalg.cho_solve((self._factor, True), shared.T).T).sum(1)
        deviation = np.sqrt(np.maximum(own - known, 1e-9) * self._variance)
        return self._mean + self._scale * (shared @ self._weights), self._scale * deviation

    @property
    def out_of_sample_correlation(self) -> float:
        """Correlation of every value with its prediction from all others; 0 where either does not vary."""
        return self._left_out

    def _leave_one_out(self, z_N: Array) -> float:
        # Rasmussen and Williams 2006, eq. 5.12: no refitting.
        inverse = scipy.linalg.cho_solve((self._factor, True), np.eye(len(z_N)))
        predicted = z_N - self._weights / np.diag(inverse)
        if len(z_N) < 3 or predicted.std() == 0 or z_N.std() == 0:
            return 0.0
        return float(np.corrcoef(predicted, z_N)[0, 1])


class _Encoding:
    """Turns features into standard scores, or codes among them into one column a value."""

    def __init__(self, features_ND: Array) -> None:
        self._mean = features_ND.mean(0)
        deviation = features_ND.std(0)
        self._varies = deviation > 0
        self._deviation = np.where(self._varies, deviation, 1.0)
        values = [np.unique(column) for column in features_ND.T]
        self._codes = {
            place: found
            for place, found in enumerate(values)
            if 2 < len(found) <= MOST_CODES and bool((found == np.round(found)).all())
        }
        self.kinds = (False, True) if self._codes else (False,)

    def __call__(self, features_ND: Array, *, coded: bool) -> Array:
        """Return [N, E]."""
        scores = (features_ND - self._mean) / self._deviation
        if not coded:
            varying: Array = scores[:, self._varies]
            return varying
        quantities = [place for place in np.flatnonzero(self._varies) if place not in self._codes]
        # Two different values of a code are as far apart as two average draws of a standard score.
        columns = [(features_ND[:, [place]] == found).astype(float) for place, found in self._codes.items()]
        return np.concatenate([scores[:, quantities], *columns], axis=1)


def _likelihood(signal: Array, z_N: Array, *, noise: float) -> tuple[float, Array, Array] | None:
    """Return the log likelihood, its scale chosen best, with the Cholesky factor and the weights; none if singular."""
    try:
        factor = scipy.linalg.cholesky(signal + noise * np.eye(len(z_N)), lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    weights = scipy.linalg.cho_solve((factor, True), z_N, check_finite=False)
    variance = max(float(z_N @ weights) / len(z_N), 1e-12)
    return -0.5 * len(z_N) * float(np.log(variance)) - float(np.log(np.diag(factor)).sum()), factor, weights


def _squared_distances(first: Array, second: Array) -> Array:
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None, :] - 2 * first @ second.T
    distances: Array = np.maximum(squares, 0.0)
    return distances
