"""Hypervolume of several studies in one box, so that their lines can be laid over each other.

A study's own hypervolume is the share of the box between its own best and worst values, and says nothing beside that of
another. Two objectives only: with more, or values that are not positive, studies are not compared this way.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboards.frame import Objective

_MARGIN: Final = 0.05
"""The box reaches this share of the range beyond the worst value, so that extreme candidates count."""


def common_hypervolumes(
    studies: Sequence[pd.DataFrame], *, objectives: Sequence[Objective]
) -> list["pd.Series[float]"] | None:
    """Return the hypervolume after each finished candidate of each study; none where they cannot be compared.

    Args:
        studies: candidates of each in the order they were recorded, with any status.
        objectives: two.
    """
    if len(objectives) != 2:
        return None
    columns = [objective.column for objective in objectives]
    finished = [rows.loc[rows["status"] == "finished", columns].dropna().astype("float64") for rows in studies]
    everything = np.concatenate([rows.to_numpy() for rows in finished])
    if not len(everything) or not np.isfinite(everything).all() or everything.min() <= 0:
        return None
    logs = np.log(everything)
    best = logs.min(axis=0)
    spread = logs.max(axis=0) - best
    spread = np.where(spread > 0, spread, 1.0) * (1 + _MARGIN)
    return [pd.Series(_growth((np.log(rows.to_numpy()) - best) / spread), index=rows.index) for rows in finished]


def _growth(points: NDArray[np.float64]) -> list[float]:
    """Return the area that points of the unit square dominate after each: a staircase that grows by rectangles."""
    # Ends of the staircase: nothing is to the left of the first, nothing below the last.
    across, up = [-math.inf, 1.0], [1.0, -math.inf]
    area, areas = 0.0, []
    for x, y in points.tolist():
        first = bisect_left(across, x)
        is_dominated = up[first - 1] <= y or (across[first] == x and up[first] <= y)
        if not is_dominated:
            last, left, ceiling = first, x, up[first - 1]
            # Step by step to the right, down to where the staircase falls below the new point.
            while up[last] > y:
                area += (across[last] - left) * (ceiling - y)
                left, ceiling = across[last], up[last]
                last += 1
            area += (across[last] - left) * (ceiling - y)
            across[first:last], up[first:last] = [x], [y]
        areas.append(area)
    return areas
