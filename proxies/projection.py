"""Perplexity projected to a longer training: short runs favour some models, and which, and by how much, can be learnt.

ln p(long) = constant + a·ln p(short) + Σ weight·(trait − its mean), where the traits are ln(parameters), ln(depth),
ln(width) and the share of each operator. The weights begin at what byte-level hybrids taught us, only parameters
counting, and move as far as longer trainings of the same study say. Only the order and differences of projections mean
anything until there are such trainings; then they are perplexities.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from proxies.errors import FidelityError
from proxies.traits import DEPTH, PARAMETERS, WIDTH, Traits

Array = NDArray[np.float64]

PRIOR_PARAMETER_WEIGHT: Final = -0.25
"""Of ln(parameters): 0.2 to 0.3 taken off the loss made 500 steps rank like 2000 to 4000."""

_LEVEL_DEVIATION: Final = 1.0
_SPREAD_DEVIATION: Final = 0.5
"""How far the weights of perplexity and parameters may stray together, one standard deviation.

What is uncertain is above all by how much a long training spreads what a short one told apart. Both weights share that.
Otherwise the first few long trainings, which spread less than a weight of 1 says, would take that from the parameters,
and leave an order worse than the one it began with.
"""

_TRAIT_DEVIATIONS: Final[Mapping[str, float]] = {PARAMETERS: 0.05, DEPTH: 0.1, WIDTH: 0.1}
_SHARE_DEVIATION: Final = 0.2
"""How far the weight of a trait may stray by itself. What learns fast early, as Mamba2 does, gains less later."""

_RESIDUAL: Final = 0.03
"""Standard deviation of ln p(long) about its projection that is expected before anything is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """From a short training's perplexity and the model's traits to what a longer one would give."""

    constant: float = 0.0
    perplexity_weight: float = 1.0

    weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({PARAMETERS: PRIOR_PARAMETER_WEIGHT}))
    """By trait; any other trait counts nothing."""

    means: Mapping[str, float]
    """Of each trait that has a weight: where its term is zero."""

    num_long_trainings: int = 0
    """Longer trainings the weights were learnt from; with none they are what they begin as."""

    def __call__(self, perplexity: float, traits: Traits) -> float:
        """Return the projected perplexity."""
        terms = (weight * (traits.get(name, 0.0) - self.means[name]) for name, weight in self.weights.items())
        return math.exp(self.constant + self.perplexity_weight * math.log(perplexity) + sum(terms))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` takes back."""
        return {
            "constant": self.constant,
            "perplexity_weight": self.perplexity_weight,
            "weights": dict(self.weights),
            "means": dict(self.means),
            "num_long_trainings": self.num_long_trainings,
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Projection":
        """Read what `to_dict` wrote, or an earlier version, which knew only parameters."""
        content = dict(mapping)
        if "parameter_weight" in content:
            content["weights"] = {PARAMETERS: content.pop("parameter_weight")}
            content["means"] = {PARAMETERS: math.log(content.pop("reference_parameters"))}
        return cls(**content)


def prior_projection(traits: Sequence[Traits]) -> Projection:
    """Return what projections begin as, zero at the middle of these models' sizes."""
    return Projection(means={PARAMETERS: float(np.median([one[PARAMETERS] for one in traits]))})


def fit_projection(
    perplexities: Sequence[float], traits: Sequence[Traits], long_perplexities: Sequence[float]
) -> Projection:
    """Learn the weights from candidates that were also trained longer.

    The weights that are most likely where they begin as normal about their prior and ln p(long) is normal about its
    projection: so few trainings move them little, their ratio, which is what ranks, least, and many decide.

    Raises:
        FidelityError: no candidate, lists of different length, or figures that are not positive and finite.
    """
    figures = np.array([*perplexities, *long_perplexities], dtype=np.float64)
    is_finite = all(math.isfinite(value) for one in traits for value in one.values())
    is_known = np.isfinite(figures).all() and (figures > 0).all() and is_finite
    if len({len(perplexities), len(traits), len(long_perplexities)}) > 1 or not is_known:
        raise FidelityError("A projection is learnt from perplexities and parameters, positive and of the same models.")
    if not len(perplexities):
        raise FidelityError("A projection needs a model to begin with; got none. Use prior_projection().")
    names = sorted({name for one in traits for name in one} - {PARAMETERS})
    names = [PARAMETERS, *names]
    traits_NK = np.array([[one.get(name, 0.0) for name in names] for one in traits])
    means_K = traits_NK.mean(axis=0)
    logs_N = np.log(np.asarray(perplexities, dtype=np.float64))
    truth_N = np.log(np.asarray(long_perplexities, dtype=np.float64))
    features_NK = np.column_stack([np.ones_like(logs_N), logs_N, traits_NK - means_K])
    prior_K = np.zeros(features_NK.shape[1])
    # The constant begins where perplexity stays what it is.
    prior_K[:3] = float(np.mean(truth_N - logs_N)), 1.0, PRIOR_PARAMETER_WEIGHT
    strays = [_TRAIT_DEVIATIONS.get(name, _SHARE_DEVIATION) for name in names]
    strays_KK = np.diag([_LEVEL_DEVIATION, _SPREAD_DEVIATION, *strays])
    strays_KK[2, 1] = PRIOR_PARAMETER_WEIGHT * _SPREAD_DEVIATION
    precision = np.linalg.inv(strays_KK @ strays_KK.T) * _RESIDUAL**2
    moved_K = np.linalg.solve(
        features_NK.T @ features_NK + precision, features_NK.T @ (truth_N - features_NK @ prior_K)
    )
    constant, perplexity_weight, *weights = (prior_K + moved_K).tolist()
    return Projection(
        constant=constant,
        perplexity_weight=perplexity_weight,
        weights=dict(zip(names, weights, strict=True)),
        means=dict(zip(names, means_K.tolist(), strict=True)),
        num_long_trainings=len(perplexities),
    )


def out_of_sample(
    perplexities: Sequence[float], traits: Sequence[Traits], long_perplexities: Sequence[float]
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
            [traits[other] for other in others],
            [long_perplexities[other] for other in others],
        )
        logs = [math.log(projection(perplexity, one)) for perplexity, one in zip(perplexities, traits, strict=True)]
        projected.append(math.exp(level + logs[place] - float(np.mean(logs))))
    return projected
