"""The augmented scaling law over depth, width and tokens, and its fit to measured points [NF 2.1].

L(D, W, N) = L0 + a·D^-α + b·W^-β + c·N^-γ. What the fit is worth is `intervals.py` and `holdout.py`;
where points come from is `points.py`.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares, nnls

from search_spaces.errors import NasError

Floats = NDArray[np.float64]

SMALLEST_EXPONENT: Final = 0.02
"""Below it a term hardly changes over any grid, and cannot be told from L0."""

LARGEST_EXPONENT: Final = 4.0
"""Above it a term is gone after the first step of a grid, and the exponent says nothing."""

MIN_DISTINCT: Final = 3
"""Different depths, and different widths, that a power law with an offset needs."""

_HUBER_SCALE: Final = 0.01
"""Residuals of the logarithm beyond this count linearly: about the noise of a training seed."""

_START_EXPONENTS: Final = (0.1, 0.3, 0.6, 1.0, 1.7, 3.0)
_NUM_REFINED: Final = 4


class ScalingError(NasError, ValueError):
    """A scaling law cannot be had from these points."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPoint:
    """One depth and width, trained."""

    depth: int
    width: int
    tokens: int
    """Trained on."""

    perplexity: float
    """Validation perplexity; the geometric mean where several training seeds were run."""

    num_parameters: int
    latency_ms: float | None = None
    perplexities: tuple[float, ...] = ()
    """By training seed, where there were several."""

    trials: tuple[int, ...] = ()
    """Numbers of the trials it was measured by."""

    @property
    def name(self) -> str:
        """Depth × width, as a person says it."""
        return f"{self.depth} × {self.width}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLaw:
    """L = l0 + a·D^-alpha + b·W^-beta + c·N^-gamma; c is 0 where tokens did not vary, and l0 holds that term."""

    l0: float
    a: float
    alpha: float
    b: float
    beta: float
    c: float = 0.0
    gamma: float = 0.0

    @property
    def has_token_term(self) -> bool:
        """Whether tokens have a term of their own."""
        return self.gamma > 0

    @property
    def parameters(self) -> dict[str, float]:
        """The fitted parameters by name."""
        return {name: getattr(self, name) for name in parameter_names(token_term=self.has_token_term)}

    def predict(self, depth: ArrayLike, width: ArrayLike, tokens: ArrayLike = 1.0) -> Floats:
        """Return the perplexity at depths, widths and tokens, which broadcast; tokens matter only with their term."""
        depths, widths = np.asarray(depth, dtype=np.float64), np.asarray(width, dtype=np.float64)
        result: Floats = self.l0 + self.a * depths**-self.alpha + self.b * widths**-self.beta
        if self.has_token_term:
            result = result + self.c * np.asarray(tokens, dtype=np.float64) ** -self.gamma
        return result

    def at(self, point: ScalingPoint) -> float:
        """Return the perplexity predicted for a point."""
        return float(self.predict(point.depth, point.width, point.tokens))

    def describe(self) -> str:
        """Return the law as one line."""
        words = f"L(D, W) = {self.l0:.4g} + {self.a:.4g}·D^-{self.alpha:.3g} + {self.b:.4g}·W^-{self.beta:.3g}"
        if not self.has_token_term:
            return words
        return words.replace("L(D, W)", "L(D, W, N)") + f" + {self.c:.4g}·N^-{self.gamma:.3g}"

    def to_dict(self) -> dict[str, float]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return asdict(self)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "ScalingLaw":
        """Read what `to_dict` wrote.

        Raises:
            ScalingError: a parameter is missing, unknown or no number.
        """
        names = {field.name for field in fields(cls)}
        if set(mapping) != names or not all(isinstance(value, int | float) for value in mapping.values()):
            raise ScalingError(f"A scaling law holds the numbers {', '.join(sorted(names))}; got {dict(mapping)}.")
        return cls(**{name: float(value) for name, value in mapping.items()})


def parameter_names(*, token_term: bool) -> tuple[str, ...]:
    """Return the names of the fitted parameters, in the order of the law."""
    names = ("l0", "a", "alpha", "b", "beta")
    return (*names, "c", "gamma") if token_term else names


def varies_in_tokens(points: Sequence[ScalingPoint]) -> bool:
    """Whether tokens get a term of their own: three counts or more, as for any power law with an offset."""
    return len({point.tokens for point in points}) >= MIN_DISTINCT


def fit(points: Sequence[ScalingPoint]) -> ScalingLaw:
    """Return the law that fits points best: least squares on log perplexity, robust to outliers, from many starts.

    Raises:
        ScalingError: too few points, depths or widths, or depth and width that do not vary apart.
    """
    check_identifiable(points)
    return fit_weighted(points, np.ones(len(points)))


def fit_weighted(points: Sequence[ScalingPoint], weights: Floats, *, near: ScalingLaw | None = None) -> ScalingLaw:
    """Return the law that fits weighted points best.

    Args:
        points: that pass `check_identifiable`.
        weights: one a point, not negative.
        near: a law of almost the same points, as a start in place of most of the others.
    """
    axes, reference = _axes(points)
    log_measured = np.log([point.perplexity for point in points])
    roots = np.sqrt(weights)

    def residuals(x: Floats) -> Floats:
        predicted = x[0] + _scaled_terms(x, axes).sum(axis=1)
        return np.asarray(roots * (np.log(np.maximum(predicted, 1e-12)) - log_measured))

    def jacobian(x: Floats) -> Floats:
        terms = _scaled_terms(x, axes)
        powers = axes ** -x[2::2]
        inverse = (roots / np.maximum(x[0] + terms.sum(axis=1), 1e-12))[:, None]
        columns = np.stack([powers, -terms * np.log(axes)], axis=2).reshape(len(axes), -1)
        return np.asarray(np.concatenate([np.ones((len(axes), 1)), columns], axis=1) * inverse)

    num_terms = axes.shape[1]
    lower = np.array([0.0, *[0.0, SMALLEST_EXPONENT] * num_terms])
    upper = np.array([float(np.exp(log_measured.min())), *[np.inf, LARGEST_EXPONENT] * num_terms])
    starts = _starts(axes, np.exp(log_measured), roots, keep=_NUM_REFINED if near is None else 1)
    if near is not None:
        starts.append(_to_scaled(near, reference))
    solutions = [
        least_squares(
            residuals,
            np.clip(start, lower + 1e-9, np.minimum(upper - 1e-9, 1e12)),
            jac=jacobian,
            bounds=(lower, upper),
            loss="huber",
            f_scale=_HUBER_SCALE,
            x_scale=np.maximum(np.abs(start), 0.1),
            max_nfev=300 if near is None else 60,
        )
        for start in starts
    ]
    return _from_scaled(min(solutions, key=lambda solution: float(solution.cost)).x, reference)


def check_identifiable(points: Sequence[ScalingPoint]) -> None:
    """Check that points can tell the law's parameters apart.

    Raises:
        ScalingError: fewer points than parameters and one, too few depths or widths, one that follows the other, or a
            perplexity below 1.
    """
    bad = [point for point in points if not np.isfinite(point.perplexity) or point.perplexity < 1]
    if bad:
        raise ScalingError(
            f"A perplexity is a finite number of at least 1; got {bad[0].perplexity} at {bad[0].name}. Leave it out."
        )
    for name, values in (
        ("depths", sorted({point.depth for point in points})),
        ("widths", sorted({point.width for point in points})),
    ):
        if len(values) < MIN_DISTINCT:
            raise ScalingError(
                f"A power law needs at least {MIN_DISTINCT} {name}; got {', '.join(map(str, values)) or 'none'}. "
                f"Train more {name}, or hold fewer points out."
            )
    num_parameters = len(parameter_names(token_term=varies_in_tokens(points)))
    num_settings = len({(point.depth, point.width, point.tokens) for point in points})
    if num_settings <= num_parameters:
        raise ScalingError(
            f"The law has {num_parameters} parameters and needs more settings than that; got {num_settings}. "
            "Train more depths and widths, or hold fewer points out."
        )
    logs = np.log([[point.depth, point.width] for point in points])
    if abs(np.corrcoef(logs.T)[0, 1]) > 0.99:
        raise ScalingError(
            "Depth and width must vary apart; in these points one follows the other. "
            "Train several widths at one depth and several depths at one width."
        )


def _axes(points: Sequence[ScalingPoint]) -> tuple[Floats, Floats]:
    """Return depth, width and perhaps tokens over their geometric means, one column each, and those means."""
    columns = [[point.depth for point in points], [point.width for point in points]]
    if varies_in_tokens(points):
        columns.append([point.tokens for point in points])
    raw = np.array(columns, dtype=np.float64).T
    reference = np.exp(np.log(raw).mean(axis=0))
    return raw / reference, reference


def _scaled_terms(x: Floats, axes: Floats) -> Floats:
    return np.asarray(x[1::2] * axes ** -x[2::2])


def _starts(axes: Floats, measured: Floats, roots: Floats, *, keep: int) -> list[Floats]:
    """Return the best starts over a grid of exponents; at given exponents the law is linear."""
    scale = roots / measured
    found = []
    for exponents in itertools.product(_START_EXPONENTS, repeat=axes.shape[1]):
        design = np.concatenate([np.ones((len(axes), 1)), axes ** -np.array(exponents)], axis=1)
        linear, distance = nnls(design * scale[:, None], measured * scale)
        pairs = zip(linear[1:], exponents, strict=True)
        found.append((float(distance), np.array([linear[0], *itertools.chain.from_iterable(pairs)])))
    found.sort(key=lambda pair: pair[0])
    return [start for _, start in found[:keep]]


def _to_scaled(law: ScalingLaw, reference: Floats) -> Floats:
    x = np.array(list(law.parameters.values()))
    x[1::2] *= reference ** -x[2::2]
    return x


def _from_scaled(x: Floats, reference: Floats) -> ScalingLaw:
    x = np.array(x)
    x[1::2] *= reference ** x[2::2]
    names = parameter_names(token_term=len(x) > 5)
    return ScalingLaw(**dict(zip(names, map(float, x), strict=True)))
