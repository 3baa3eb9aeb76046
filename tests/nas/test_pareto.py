import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from nas.pareto import Staircase, dominates, frontier_indices, hypervolume

POINTS = st.integers(2, 4).flatmap(
    lambda size: st.lists(st.tuples(*[st.integers(0, 8)] * size), min_size=1, max_size=14)
)


def test_a_point_does_not_dominate_its_equal():
    assert not dominates((1, 2), (1, 2))
    assert dominates((1, 2), (1, 3))
    assert not dominates((1, 3), (2, 2))


def test_of_equal_points_the_first_is_on_the_frontier():
    assert frontier_indices([(2, 2), (1, 3), (2, 2), (3, 1), (3, 3)]) == [0, 1, 3]


@given(POINTS)
def test_the_frontier_is_what_nothing_dominates(points):
    members = frontier_indices(points)
    values = {points[index] for index in members}
    assert len(values) == len(members)
    assert values == {point for point in points if not any(dominates(other, point) for other in points)}


@settings(deadline=None)
@given(POINTS)
def test_hypervolume_equals_optunas(points):
    reference = (7.5,) * len(points[0])
    inside = [point for point in points if max(point) < 7.5]
    expected = compute_hypervolume(np.array(inside, dtype=float), np.array(reference)) if inside else 0.0
    assert hypervolume(points, reference) == pytest.approx(float(expected))


def test_points_beyond_the_reference_add_nothing():
    assert hypervolume([(1, 9), (9, 1)], (8, 8)) == 0
    assert hypervolume([], (8, 8)) == 0


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=20))
def test_points_on_a_staircase_add_up_to_the_hypervolume_of_all_so_far(points):
    stairs, total = Staircase((8.0, 8.0)), 0.0
    for count, point in enumerate(points, start=1):
        total += stairs.add(*point)
        assert total == pytest.approx(hypervolume(points[:count], (8.0, 8.0)))
        assert total == pytest.approx(compute_hypervolume(np.array(points[:count], dtype=float), np.array([8.0, 8.0])))
