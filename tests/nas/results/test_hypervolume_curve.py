import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.comparison import UnitBox
from nas.pareto import hypervolume
from nas.results.hypervolume_curve import HypervolumeCurve

POINTS = st.integers(1, 4).flatmap(
    lambda size: st.lists(st.tuples(*[st.integers(1, 9)] * size), min_size=1, max_size=12)
)


@settings(deadline=None)
@given(POINTS)
def test_each_point_has_the_hypervolume_of_all_up_to_it(points):
    box = UnitBox(points)
    placed = box.place(points)
    expected = [hypervolume(placed[:count], box.reference) for count in range(1, len(points) + 1)]
    assert HypervolumeCurve().after_each(points) == pytest.approx(expected)


@settings(deadline=None)
@given(POINTS)
def test_a_curve_that_goes_on_equals_one_that_is_made_anew(points):
    growing = HypervolumeCurve()
    for count in range(1, len(points) + 1):
        assert growing.after_each(points[:count]) == HypervolumeCurve().after_each(points[:count])


def test_points_that_changed_are_placed_anew():
    curve = HypervolumeCurve()
    curve.after_each([(1, 9), (5, 5), (9, 1)])
    assert curve.after_each([(1, 9), (4, 5), (9, 1)]) == HypervolumeCurve().after_each([(1, 9), (4, 5), (9, 1)])
    assert curve.after_each([(1, 9), (9, 1)]) == HypervolumeCurve().after_each([(1, 9), (9, 1)])
