"""How much of the box between best and worst an archive dominates after each of its points, for many points.

Equal to the hypervolume of all points so far, worked out from what each point adds: most add nothing, which is found at
once.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from nas.comparison import UnitBox
from nas.pareto import Staircase, hypervolume


class HypervolumeCurve:
    """Hypervolumes of a growing archive, as shares of its box; goes on from what it knew while the box is the same."""

    def __init__(self) -> None:
        self._points: NDArray[np.float64] = np.empty((0, 0))
        self._gains: list[float] = []
        self._add: Callable[[tuple[float, ...]], float] | None = None

    def after_each(self, points: Sequence[Sequence[float]]) -> list[float]:
        """Return the hypervolume after each point; all values are to be positive."""
        placed = UnitBox(points).placed(points)
        known = len(self._points)
        if self._add is None or known > len(placed) or not np.array_equal(placed[:known], self._points):
            known, self._gains = 0, []
            self._add = _adder(placed.shape[1])
        self._gains += [self._add(tuple(point)) for point in placed[known:].tolist()]
        self._points = placed
        return list(accumulate(self._gains))


def _adder(num_objectives: int) -> Callable[[tuple[float, ...]], float]:
    if num_objectives == 2:
        stairs = Staircase((1.0, 1.0))
        return lambda point: stairs.add(*point)
    return _Cloud().add


class _Cloud:
    """The frontier of any number of objectives."""

    def __init__(self) -> None:
        self._members: NDArray[np.float64] = np.empty((0, 0))

    def add(self, point: tuple[float, ...]) -> float:
        """Add a point below (1, …, 1) and return the volume it adds."""
        place = np.asarray(point)
        if not len(self._members):
            self._members = place[None]
            return float(np.prod(1.0 - place))
        if (self._members <= place).all(axis=1).any():
            return 0.0
        # What the members have dominated already of the point's own box.
        seen = hypervolume(np.unique(np.maximum(self._members, place), axis=0).tolist(), (1.0,) * len(point))
        kept = self._members[~(self._members >= place).all(axis=1)]
        self._members = np.vstack([kept, place])
        return max(0.0, float(np.prod(1.0 - place)) - seen)
