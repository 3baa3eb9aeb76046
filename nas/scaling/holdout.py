"""How far a scaling law holds beyond what it was fitted to: the largest settings are held out and predicted [NF 2.1].

The paper reports 5.3 % as its largest error on larger unseen settings.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nas.scaling.intervals import FittedLaw, fit_with_intervals
from nas.scaling.law import ScalingError, ScalingPoint


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPoint:
    """A setting the law had not seen, and what it said of it."""

    depth: int
    width: int
    tokens: int
    num_parameters: int
    measured: float
    predicted: float
    interval: tuple[float, float]
    """Of the predicted perplexity."""

    times_deeper: float
    """Its depth over the greatest depth fitted; at most 1 means inside."""

    times_wider: float

    @property
    def error(self) -> float:
        """(predicted − measured) / measured."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """What a law fitted to the smaller settings says of the larger ones."""

    fitted: FittedLaw
    points: tuple[HeldOutPoint, ...]
    times_larger: float
    """Parameters of the largest setting held out over those of the largest fitted."""

    @property
    def max_error(self) -> float:
        """Largest relative error, as a share."""
        return max(abs(point.error) for point in self.points)

    @property
    def mean_error(self) -> float:
        """Mean absolute relative error, as a share."""
        return float(np.mean([abs(point.error) for point in self.points]))

    def describe(self) -> str:
        """Return the finding as a sentence."""
        beyond = sum(point.times_deeper > 1 or point.times_wider > 1 for point in self.points)
        return (
            f"{len(self.points)} largest settings held out (up to {self.times_larger:.2g}× the parameters fitted, "
            f"{beyond} beyond the fitted depths or widths): error at most {100 * self.max_error:.1f} %, "
            f"mean {100 * self.mean_error:.1f} %"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {
            "points": [asdict(point) | {"error": point.error} for point in self.points],
            "max_error": self.max_error,
            "mean_error": self.mean_error,
            "times_larger": self.times_larger,
            "fitted": self.fitted.to_dict(),
        }

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "HeldOut":
        """Read what `to_dict` wrote."""
        points = []
        for entry in mapping["points"]:
            content = {name: value for name, value in entry.items() if name != "error"}
            points.append(HeldOutPoint(**content | {"interval": tuple(content["interval"])}))
        return cls(
            fitted=FittedLaw.from_dict(mapping["fitted"]), points=tuple(points), times_larger=mapping["times_larger"]
        )


def split_by_size(points: Sequence[ScalingPoint], *, share: float) -> tuple[list[ScalingPoint], list[ScalingPoint]]:
    """Return the points to fit and the largest ones to hold out, by parameters.

    Args:
        points: all of them.
        share: of the points that is held out, rounded up; settings of equal size stay together.

    Raises:
        ScalingError: the share lies outside 0 to 1, or leaves nothing to fit.
    """
    if not 0 < share < 1:
        raise ScalingError(f"The share held out lies between 0 and 1; got {share:g}. Usual: 0.25.")
    ordered = sorted(points, key=lambda point: (point.num_parameters, point.depth))
    smallest_out = ordered[len(ordered) - math.ceil(share * len(ordered))].num_parameters
    kept = [point for point in ordered if point.num_parameters < smallest_out]
    return kept, [point for point in ordered if point.num_parameters >= smallest_out]


def hold_out(points: Sequence[ScalingPoint], *, share: float, seed: int) -> HeldOut:
    """Fit the law without the largest settings and predict those.

    Raises:
        ScalingError: what is left identifies no law.
    """
    kept, out = split_by_size(points, share=share)
    try:
        fitted = fit_with_intervals(kept, seed=seed)
    except ScalingError as error:
        raise ScalingError(f"With {len(out)} of {len(points)} settings held out: {error}") from error
    deepest, widest = max(point.depth for point in kept), max(point.width for point in kept)
    return HeldOut(
        fitted=fitted,
        points=tuple(
            HeldOutPoint(
                depth=point.depth,
                width=point.width,
                tokens=point.tokens,
                num_parameters=point.num_parameters,
                measured=point.perplexity,
                predicted=fitted.law.at(point),
                interval=fitted.predicted_interval(point),
                times_deeper=point.depth / deepest,
                times_wider=point.width / widest,
            )
            for point in out
        ),
        times_larger=max(point.num_parameters for point in out) / max(point.num_parameters for point in kept),
    )
