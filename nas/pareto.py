"""Dominance and hypervolume. Every objective is minimised; plain numbers only."""

from collections.abc import Sequence

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

    Points that do not lie strictly below the reference in every objective add nothing. Slices along the last objective,
    recursively: made for the two to four objectives of a search.
    """
    inside = [tuple(point) for point in points if all(a < b for a, b in zip(point, reference, strict=True))]
    if not inside:
        return 0.0
    return _volume([inside[index] for index in frontier_indices(inside)], tuple(reference))


def _volume(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    if len(reference) == 1:
        return reference[0] - min(point[0] for point in points)
    if len(reference) == 2:
        return _area(points, reference)
    ordered = sorted(points, key=lambda point: point[-1])
    depths = [point[-1] for point in ordered] + [reference[-1]]
    total = 0.0
    for count in range(1, len(ordered) + 1):
        thickness = depths[count] - depths[count - 1]
        if thickness > 0:
            slab = [point[:-1] for point in ordered[:count]]
            members = [slab[index] for index in frontier_indices(slab)]
            total += thickness * _volume(members, reference[:-1])
    return total


def _area(points: list[tuple[float, ...]], reference: tuple[float, ...]) -> float:
    # Left to right along the staircase: each point adds the rectangle below the lowest seen so far.
    total, lowest = 0.0, reference[1]
    for x, y in sorted(points):
        if y < lowest:
            total += (reference[0] - x) * (lowest - y)
            lowest = y
    return total


class GrowingFrontier:
    """Hypervolume of a two-objective archive after each new point, in O(frontier) a point."""

    def __init__(self, reference: Point) -> None:
        self._reference = tuple(reference)
        self._members: list[tuple[float, ...]] = []

    def add(self, point: Point) -> float:
        """Add a point and return the hypervolume of all points so far."""
        if not any(all(a <= b for a, b in zip(member, point, strict=True)) for member in self._members):
            self._members = [member for member in self._members if not dominates(point, member)] + [tuple(point)]
        return hypervolume(self._members, self._reference)
