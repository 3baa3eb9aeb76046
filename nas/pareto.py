"""Dominance and hypervolume. Every objective is minimised; plain numbers only."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import lt

Point = Sequence[float]


def dominates(first: Point, second: Point) -> bool:
    """Whether `first` is nowhere worse than `second` and somewhere better."""
    return all(a <= b for a, b in zip(first, second, strict=True)) and tuple(first) != tuple(second)


def frontier_indices(points: Sequence[Point]) -> list[int]:
    """Return the indices of the non-dominated points, in input order; of equal points the first.

    Sorted by the objectives in turn, a point can only be dominated by an earlier one, and only members of the frontier
    need asking: O(n log n + n·frontier).
    """
    order = sorted(range(len(points)), key=lambda index: (tuple(points[index]), index))
    members: list[int] = []
    for index in order:
        point = points[index]
        if not any(all(a <= b for a, b in zip(points[other], point, strict=True)) for other in reversed(members)):
            members.append(index)
    return sorted(members)


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Return the volume dominated by `points` and bounded by `reference`, exactly.

    Points that do not lie strictly below the reference in every objective add nothing. Two and three objectives are
    swept once, in O(n log n); more are cut into slices along the last one.
    """
    inside = [tuple(point) for point in points if all(map(lt, point, reference))]
    return _volume(inside, tuple(reference)) if inside else 0.0


def _volume(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    match reference:
        case (end,):
            return end - min(point[0] for point in points)
        case (x, y):
            stairs = Staircase((x, y))
            return sum(stairs.add(point[0], point[1]) for point in points)
        case (x, y, end):
            return _swept(sorted(points, key=lambda point: point[2]), Staircase((x, y)), end=end)
    members = [points[index] for index in frontier_indices(points)]
    ordered = sorted(members, key=lambda point: point[-1])
    depths = [point[-1] for point in ordered] + [reference[-1]]
    total = 0.0
    for count in range(1, len(ordered) + 1):
        thickness = depths[count] - depths[count - 1]
        if thickness > 0:
            slab = [point[:-1] for point in ordered[:count]]
            total += thickness * _volume(slab, reference[:-1])
    return total


def _swept(ordered: list[tuple[float, ...]], stairs: "Staircase", *, end: float) -> float:
    """Return the volume over stairs that grow along the third objective."""
    area = volume = 0.0
    depth = ordered[0][2]
    for x, y, z in ordered:
        volume += area * (z - depth)
        area += stairs.add(x, y)
        depth = z
    return volume + area * (end - depth)


class Staircase:
    """The frontier of two objectives as it grows; every point says what area it adds, in O(log frontier) most times."""

    def __init__(self, reference: tuple[float, float]) -> None:
        self._right, self._top = reference
        self._x: list[float] = []
        self._y: list[float] = []

    def add(self, x: float, y: float) -> float:
        """Add a point that lies below the reference, and return the area it adds to what is dominated."""
        place = bisect_right(self._x, x)
        if place and self._y[place - 1] <= y:
            return 0.0
        first = bisect_left(self._x, x)
        ceiling = self._y[first - 1] if first else self._top
        area, left, end = 0.0, x, first
        # Along the members that the point dominates.
        while end < len(self._x) and self._y[end] >= y:
            area += (self._x[end] - left) * (ceiling - y)
            left, ceiling = self._x[end], self._y[end]
            end += 1
        right = self._x[end] if end < len(self._x) else self._right
        self._x[first:end] = [x]
        self._y[first:end] = [y]
        return area + (right - left) * (ceiling - y)
