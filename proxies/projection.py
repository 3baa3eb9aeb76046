"""Perplexity projected to a longer training: short runs favour small models, and by how much can be learnt.

ln p(long) = ln p(short) − c·ln(parameters) + constant, where the weights begin at what byte-level hybrids taught us and
move as far as longer trainings of the same study say. Only the order and differences of projections mean anything until
there are such trainings; then they are perplexities.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from proxies.errors import FidelityError

Array = NDArray[np.float64]

PRIOR_PARAMETER_WEIGHT: Final = -0.25
"""Of ln(parameters): 0.2 to 0.3 taken off the loss made 500 steps rank like 2000 to 4000."""

_PRIOR_DEVIATIONS: Final = (1.0, 0.25, 0.05)
"""How far may stray, one standard deviation each: the constant, both weights together, and that of parameters besides.

What is uncertain is above all by how much a long training spreads what a short one told apart. Both weights share that.
Otherwise the first few long trainings, which spread less than a weight of 1 says, would take that from the parameters,
and leave an order worse than the one it began with.
"""

_RESIDUAL: Final = 0.03
"""Standard deviation of ln p(long) about its projection that is expected before anything is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """From a short training's perplexity and the parameters to what a longer one would give."""

    constant: float = 0.0
    perplexity_weight: float = 1.0
    parameter_weight: float = PRIOR_PARAMETER_WEIGHT

    reference_parameters: float
    """Parameters at which the parameter term is zero."""

    num_long_trainings: int = 0
    """Longer trainings the weights were learnt from; with none they are what they begin as."""

    def __call__(self, perplexity: float, num_parameters: float) -> float:
        """Return the projected perplexity."""
        features = _features([perplexity], [num_parameters], self.reference_parameters)[0]
        weights = np.array([self.constant, self.perplexity_weight, self.parameter_weight])
        return float(np.exp(features @ weights))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that the constructor takes back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Projection":
        """Read what `to_dict` wrote."""
        return cls(**mapping)


def fit_projection(
    perplexities: Sequence[float], num_parameters: Sequence[float], long_perplexities: Sequence[float]
) -> Projection:
    """Learn the weights from candidates that were also trained longer; from none, return what they begin as.

    The weights that are most likely where they begin as normal about their prior and ln p(long) is normal about its
    projection: so few trainings move them little, their ratio, which is what ranks, least, and many decide.

    Raises:
        FidelityError: lists of different length, or figures that are not positive and finite.
    """
    sizes = {len(perplexities), len(num_parameters), len(long_perplexities)}
    figures = np.array([*perplexities, *num_parameters, *long_perplexities], dtype=np.float64)
    if len(sizes) > 1 or not (np.isfinite(figures).all() and (figures > 0).all()):
        raise FidelityError("A projection is learnt from perplexities and parameters, positive and of the same models.")
    if not len(perplexities):
        raise FidelityError("A projection needs a model to begin with; got none. Use Projection() for the prior.")
    reference = float(np.exp(np.mean(np.log(num_parameters))))
    features_NK = _features(perplexities, num_parameters, reference)
    truth_N = np.log(np.asarray(long_perplexities, dtype=np.float64))
    # The constant begins where perplexity stays what it is.
    prior = np.array([float(np.mean(truth_N - features_NK[:, 1])), 1.0, PRIOR_PARAMETER_WEIGHT])
    strays_KK = np.diag(_PRIOR_DEVIATIONS)
    strays_KK[2, 1] = PRIOR_PARAMETER_WEIGHT * strays_KK[1, 1]
    precision = np.linalg.inv(strays_KK @ strays_KK.T) * _RESIDUAL**2
    moved = np.linalg.solve(features_NK.T @ features_NK + precision, features_NK.T @ (truth_N - features_NK @ prior))
    constant, perplexity_weight, parameter_weight = (prior + moved).tolist()
    return Projection(
        constant=constant,
        perplexity_weight=perplexity_weight,
        parameter_weight=parameter_weight,
        reference_parameters=reference,
        num_long_trainings=len(perplexities),
    )


def out_of_sample(
    perplexities: Sequence[float], num_parameters: Sequence[float], long_perplexities: Sequence[float]
) -> list[float]:
    """Return each candidate's projection by weights learnt from the others, all at one level.

    A level of its own would lie the lower, the worse the candidate that was left out: such projections would seem to
    rank worse than the perplexities they are made of. So the level is that of all, which says nothing of their order.
    """
    places = range(len(perplexities))
    level = float(np.mean(np.log(long_perplexities)))
    projected = []
    for place in places:
        others = [other for other in places if other != place]
        projection = fit_projection(
            [perplexities[other] for other in others],
            [num_parameters[other] for other in others],
            [long_perplexities[other] for other in others],
        )
        logs = [
            float(np.log(projection(perplexity, size)))
            for perplexity, size in zip(perplexities, num_parameters, strict=True)
        ]
        projected.append(float(np.exp(level + logs[place] - np.mean(logs))))
    return projected


def _features(perplexities: Sequence[float], num_parameters: Sequence[float], reference: float) -> Array:
    logs = np.log(np.asarray(perplexities, dtype=np.float64))
    sizes = np.log(np.asarray(num_parameters, dtype=np.float64) / reference)
    return np.column_stack([np.ones_like(logs), logs, sizes])
