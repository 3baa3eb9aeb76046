import dataclasses

import pytest

from dashboards.analysis.plane import plane_of
from dashboards.analysis.selection import frontier
from dashboards.figures.pareto_labels import LETTER, LINE, PLANE, RING, spaced_labels
from dashboards.figures.pareto_scale import share_within
from dashboards.view import View


def labels_of(results, view=View()):  # noqa: B008  # frozen
    plane = plane_of(results, view)
    return plane, {label.number: label for label in spaced_labels(plane)}


def box_of(plane, label):
    x = share_within(plane.x, label.across, plane.span) * PLANE[0] + label.xshift
    y = share_within(plane.y, label.up, plane.heights) * PLANE[1] + label.yshift
    width = LETTER * len(f"#{label.number}")
    left = x if label.xanchor == "left" else x - width
    bottom = y if label.yanchor == "bottom" else y - LINE
    return left, bottom, left + width, bottom + LINE


def test_labels_lie_on_no_other(results):
    plane, labels = labels_of(results)
    boxes = [box_of(plane, label) for label in labels.values()]
    assert len(boxes) > 3
    for index, one in enumerate(boxes):
        for other in boxes[:index]:
            assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_the_label_of_the_chosen_candidate_stands_outside_its_ring(results):
    _, before = labels_of(results)
    number = next(iter(before))
    _, labels = labels_of(results, View(trial=number))
    assert (abs(labels[number].xshift), abs(labels[number].yshift)) == (RING, RING)
    assert abs(before[number].xshift) < RING


def test_a_label_stands_on_the_side_that_it_is_shifted_to_and_never_above_to_the_left(results):
    _, labels = labels_of(results)
    for label in labels.values():
        assert (label.xanchor == "left") == (label.xshift > 0)
        assert (label.yanchor == "bottom") == (label.yshift > 0)
        assert label.xshift > 0 or label.yshift < 0
    assert any(label.xshift > 0 for label in labels.values())


def test_the_knee_has_its_own_label(results):
    knee = int(frontier(results)["number"].iloc[3])
    _, labels = labels_of(dataclasses.replace(results, knee=knee))
    assert knee not in labels


@pytest.mark.parametrize("study", ["empty_results", "failed_results"])
def test_without_a_frontier_there_are_none(study, request):
    assert labels_of(request.getfixturevalue(study))[1] == {}
