"""Which depth and width a scaling law takes at a latency budget [NF 2.1]: the least perplexity of what can be priced.

Prices are looked up, never extrapolated; perplexity may be predicted beyond the points, and then it is said so.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from latency.lookup import UnmeasuredError
from latency.predict import predict
from latency.table import LatencyTable
from latency.workload import Workload
from nas.errors import UsageError
from nas.scaling.intervals import COVERED, FittedLaw, ends
from nas.scaling.law import ScalingPoint
from operators.cost import num_parameters
from search_spaces import DepthWidthGenome, DepthWidthSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedSetting:
    """A depth and width with what it takes."""

    depth: int
    width: int
    latency_ms: float
    num_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The settings a latency table can price, and what it cannot."""

    settings: tuple[PricedSetting, ...]
    num_left_out: int
    unpriced_widths: tuple[int, ...]
    reason: str
    """Why the first one could not be priced, with the command that measures it; empty where all were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The setting with the least predicted perplexity within a budget, and how sure that is."""

    budget_ms: float
    setting: PricedSetting
    perplexity: float
    interval: tuple[float, float]
    """Of the predicted perplexity."""

    share_of_draws: float
    """Of the resampled laws, those that choose this depth."""

    depths_chosen: tuple[int, int]
    """From and to: the least range of depths that covers nine tenths of the draws."""

    beyond: str
    """In which way it lies beyond the fitted points; empty inside."""

    @property
    def depth_to_width(self) -> float:
        """Depth over width."""
        return self.setting.depth / self.setting.width

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "budget_ms": self.budget_ms,
            "depth": self.setting.depth,
            "width": self.setting.width,
            "depth_to_width": self.depth_to_width,
            "latency_ms": self.setting.latency_ms,
            "num_parameters": self.setting.num_parameters,
            "perplexity": self.perplexity,
            "interval": list(self.interval),
            "interval_share": COVERED,
            "share_of_draws": self.share_of_draws,
            "depths_chosen": list(self.depths_chosen),
            "beyond": self.beyond,
        }


def price(
    space: DepthWidthSpace, *, depths: Sequence[int], widths: Sequence[int], table: LatencyTable, workload: Workload
) -> Prices:
    """Return what a table says of every depth at every width.

    Raises:
        SpecError: a width at which the space builds no model.
        UsageError: the table can price none of them.
    """
    finer = replace(space, depths=tuple(depths), hidden_sizes=tuple(widths))
    settings, reason, unpriced = [], "", []
    for width in finer.hidden_sizes:
        try:
            for depth in finer.depths:
                architecture = finer.decode(DepthWidthGenome(depth, width))
                settings.append(
                    PricedSetting(
                        depth=depth,
                        width=width,
                        latency_ms=predict(architecture, workload, table).milliseconds,
                        num_parameters=num_parameters(architecture),
                    )
                )
        except UnmeasuredError as error:
            # Depth only multiplies rows, so that a width is priced at every depth or at none.
            unpriced.append(width)
            reason = reason or str(error)
    if not settings:
        raise UsageError(f"The latency table prices none of these settings. {reason}")
    return Prices(
        settings=tuple(settings),
        num_left_out=len(unpriced) * len(finer.depths),
        unpriced_widths=tuple(unpriced),
        reason=reason,
    )


def measured_widths(space: DepthWidthSpace, *, table: LatencyTable, workload: Workload) -> list[int]:
    """Return the widths a table can price in a space, whether they are widths of that space or not."""
    known = sorted({row.key.hidden_size for row in table})
    found = []
    for width in known:
        try:
            price(space, depths=(1,), widths=(width,), table=table, workload=workload)
        except (UsageError, ValueError):
            continue
        found.append(width)
    return found


def recommend(
    fitted: FittedLaw,
    settings: Sequence[PricedSetting],
    *,
    budgets_ms: Sequence[float],
    points: Sequence[ScalingPoint],
    tokens: int,
) -> list[Recommendation]:
    """Return the setting with the least predicted perplexity for every budget; of equal ones the fastest.

    Args:
        fitted: the law.
        settings: to choose from.
        budgets_ms: latency budgets.
        points: the law was fitted to.
        tokens: at which perplexity is predicted.

    Raises:
        UsageError: no setting is within a budget.
    """
    ordered = sorted(settings, key=lambda setting: (setting.latency_ms, setting.depth))
    depths = np.array([setting.depth for setting in ordered])
    widths = np.array([setting.width for setting in ordered])
    predicted = fitted.law.predict(depths, widths, tokens)
    drawn = fitted.predictions(depths, widths, tokens)
    found = []
    for budget_ms in budgets_ms:
        num_within = sum(setting.latency_ms <= budget_ms for setting in ordered)
        if not num_within:
            raise UsageError(
                f"No setting takes at most {budget_ms:g} ms; the fastest, {ordered[0].depth} × {ordered[0].width}, "
                f"takes {ordered[0].latency_ms:.4g}. Raise the budget, or allow smaller depths and widths."
            )
        best = int(np.argmin(predicted[:num_within]))
        chosen = depths[np.argmin(drawn[:, :num_within], axis=1)].tolist()
        found.append(
            Recommendation(
                budget_ms=budget_ms,
                setting=ordered[best],
                perplexity=float(predicted[best]),
                interval=ends(drawn[:, best]),
                share_of_draws=chosen.count(ordered[best].depth) / len(chosen),
                depths_chosen=_shortest_range(chosen),
                beyond=_beyond(ordered[best], points),
            )
        )
    return found


def _shortest_range(values: Sequence[int]) -> tuple[int, int]:
    """Return the shortest range of values that holds `COVERED` of them."""
    counts = sorted(Counter(values).items())
    best = (counts[0][0], counts[-1][0])
    for first in range(len(counts)):
        total = 0
        for value, count in counts[first:]:
            total += count
            if total >= COVERED * len(values):
                if value - counts[first][0] < best[1] - best[0]:
                    best = (counts[first][0], value)
                break
    return best


def _beyond(setting: PricedSetting, points: Sequence[ScalingPoint]) -> str:
    words = []
    for name, value, seen in (
        ("depth", setting.depth, [point.depth for point in points]),
        ("width", setting.width, [point.width for point in points]),
    ):
        if value > max(seen):
            words.append(f"{name} {value / max(seen):.2g}× the greatest trained")
        elif value < min(seen):
            words.append(f"{name} below the least trained, {min(seen)}")
    return ", ".join(words)


def budget_steps(settings: Sequence[PricedSetting], *, num: int) -> list[float]:
    """Return budgets evenly along the logarithm of what settings take, first and last included."""
    times = sorted(setting.latency_ms for setting in settings)
    steps = np.geomspace(times[0], times[-1], num).tolist()
    # Rounding must not put a budget below what it stands for.
    return [times[0], *(float(step) for step in steps[1:-1]), times[-1]]
