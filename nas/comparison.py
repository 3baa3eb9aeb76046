"""Evolution against random search inside one run, with the seed noise beside the difference.

The random half is the random candidates a search starts with; the evolved half is as many of its last mutants.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dashboards.frame import EVOLVED
from nas.candidates import History
from nas.pareto import hypervolume

G = TypeVar("G", bound=Hashable)

_DRAWS: Final = 400
_FEWER_DRAWS: Final = 100
"""Of three and more objectives, whose hypervolumes cost more; the noise is then known to 7 % instead of 4 %."""

_MOST_DEVIATIONS: Final = 6.0
"""Two points whose difference is more of its own deviations than this, no draw puts in another order."""

_ROWS_AT_ONCE: Final = 256
_MARGIN: Final = 0.05
"""The reference point lies this share of the range beyond the worst value, so that extreme points count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HalvesCompared:
    """Hypervolumes of both halves, each a share of the box between the best and the worst values seen (log scale)."""

    random_hypervolume: float
    evolved_hypervolume: float
    noise: float | None
    """Standard deviation that the training seed alone gives the difference; none where nothing was repeated."""

    num_each: int
    num_repeats: int

    @property
    def difference(self) -> float:
        """Evolved minus random."""
        return self.evolved_hypervolume - self.random_hypervolume

    def __str__(self) -> str:
        words = (
            f"Of the box between best and worst, {self.num_each} evolved candidates dominate "
            f"{self.evolved_hypervolume:.3f} and {self.num_each} random ones {self.random_hypervolume:.3f}: "
            f"evolution is {abs(self.difference):.3f} {'ahead' if self.difference >= 0 else 'behind'}"
        )
        if self.noise is None:
            return f"{words}. The seed noise was not measured (budget.repeats is 0)."
        verdict = "more" if abs(self.difference) > 2 * self.noise else "no more"
        return (
            f"{words}, {verdict} than twice what the training seed alone makes "
            f"(±{self.noise:.3f}, from {self.num_repeats} candidate(s) trained again)."
        )


class UnitBox:
    """Maps objective vectors to the unit box between the best and the worst values of a history, on a log scale."""

    def __init__(self, points: Sequence[Sequence[float]]) -> None:
        logs = np.log(np.asarray(points, dtype=np.float64))
        self._best = logs.min(axis=0)
        spread = logs.max(axis=0) - self._best
        self._spread = np.where(spread > 0, spread, 1.0) * (1 + _MARGIN)

    @property
    def spread(self) -> NDArray[np.float64]:
        """Widths of the box, in logarithms."""
        return self._spread

    @property
    def reference(self) -> tuple[float, ...]:
        """The corner no point counts beyond."""
        return (1.0,) * len(self._best)

    def place(self, points: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
        """Return the points in box coordinates."""
        return [tuple(row) for row in self.placed(points).tolist()]

    def placed(self, points: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Return the points in box coordinates, one a row."""
        scaled: NDArray[np.float64] = (np.log(np.asarray(points, dtype=np.float64)) - self._best) / self._spread
        return scaled

    def hypervolume(self, points: Sequence[Sequence[float]]) -> float:
        """Return the share of the box that the points dominate."""
        return hypervolume(self.place(points), self.reference)


def compare_halves(history: History[G]) -> HalvesCompared | None:
    """Return the comparison, or none while either half is empty or an objective is not positive."""
    finished = history.finished()
    random_half = [record for record in finished if record.candidate.proposal.origin == "random"]
    evolved_half = [record for record in finished if record.candidate.proposal.origin in EVOLVED]
    num_each = min(len(random_half), len(evolved_half))
    points = history.points(finished)
    if num_each == 0 or min(map(min, points)) <= 0:
        return None
    random_points = history.points(random_half[:num_each])
    evolved_points = history.points(evolved_half[-num_each:])
    box = UnitBox(points)
    differences = _repeat_differences(history)
    deviation = _deviation(differences)
    return HalvesCompared(
        random_hypervolume=box.hypervolume(random_points),
        evolved_hypervolume=box.hypervolume(evolved_points),
        noise=None if deviation is None else _noise(box, random_points, evolved_points, deviation=deviation),
        num_each=num_each,
        num_repeats=len(differences),
    )


def _deviation(differences: Sequence[float]) -> float | None:
    """Return the standard deviation of one run's log perplexity: a difference of two has twice the variance."""
    return math.sqrt(sum(value * value for value in differences) / (2 * len(differences))) if differences else None


def _repeat_differences(history: History[G]) -> list[float]:
    """Return the log of the expensive objective under another seed, minus that of the candidate itself."""
    name = history.objectives[0]
    # Of what was stopped early it is not known.
    evaluated = [record for record in history if record.objectives.get(name, 0.0) > 0]
    logs = {record.number: math.log(record.objectives[name]) for record in evaluated}
    pairs = [
        (record.number, record.candidate.proposal.repeat_of)
        for record in evaluated
        if record.candidate.proposal.measures_noise
    ]
    # Of a trial that cannot be read nothing is known.
    return [logs[repeat] - logs[original] for repeat, original in pairs if original in logs]


def _noise(
    box: UnitBox,
    random_points: Sequence[Sequence[float]],
    evolved_points: Sequence[Sequence[float]],
    *,
    deviation: float,
) -> float:
    """Return how far the difference of hypervolumes strays when every perplexity is drawn again."""
    rng = np.random.default_rng(0)  # the same history always gives the same figure
    halves = [_Shaken(box, points, deviation=deviation) for points in (evolved_points, random_points)]
    num_draws = _DRAWS if len(box.reference) == 2 else _FEWER_DRAWS
    return float(np.std([halves[0].draw(rng) - halves[1].draw(rng) for _ in range(num_draws)]))


class _Shaken:
    """Points whose first objective is drawn again and again."""

    def __init__(self, box: UnitBox, points: Sequence[Sequence[float]], *, deviation: float) -> None:
        placed = box.placed(points)
        self._num_points = len(placed)
        self._reference = box.reference
        self._deviation = deviation / box.spread[0]
        # Along the last objective, which stays, so that nothing needs sorting later.
        self._order = np.argsort(placed[:, -1], kind="stable")
        if len(self._reference) > 2:
            hopeless = _are_dominated(placed, margin=_MOST_DEVIATIONS * math.sqrt(2) * self._deviation)
            self._order = self._order[~hopeless[self._order]]
        self._placed = placed[self._order]
        self._steps = np.diff(self._placed[:, -1], append=1.0)

    def draw(self, rng: np.random.Generator) -> float:
        """Return the hypervolume when every first objective is drawn anew."""
        shifts = rng.normal(0.0, self._deviation, size=self._num_points)[self._order]
        first = self._placed[:, 0] + shifts
        if len(self._reference) == 2:
            # The best of the first falls in steps.
            return float(self._steps @ (1.0 - np.minimum.accumulate(np.minimum(first, 1.0))))
        return hypervolume(np.column_stack((first, self._placed[:, 1:])).tolist(), self._reference)


def _are_dominated(points: NDArray[np.float64], *, margin: float) -> NDArray[np.bool_]:
    """Return for each point whether another is better by the margin in the first objective and nowhere worse."""
    result = np.zeros(len(points), dtype=bool)
    for start in range(0, len(points), _ROWS_AT_ONCE):
        rows = points[start : start + _ROWS_AT_ONCE]
        beaten = points[None, :, 0] + margin <= rows[:, None, 0]
        for axis in range(1, points.shape[1]):
            beaten &= points[None, :, axis] <= rows[:, None, axis]
        result[start : start + _ROWS_AT_ONCE] = beaten.any(axis=1)
    return result
