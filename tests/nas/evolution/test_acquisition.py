"""Expected gains against the mean over many draws of the exact gain."""

import numpy as np
import pytest

from nas.evolution.acquisition import ExpectedGain
from nas.pareto import hypervolume

POINTS = np.array([[4.0, 1.0], [2.0, 3.0], [1.0, 6.0], [5.0, 7.0]])
"""The last is dominated; the reference point is (5, 7)."""


def gain_of(mean, deviation, cheap, *, points=POINTS):
    gain = ExpectedGain(points, num_expensive=1, rng=np.random.default_rng(0))
    return gain(np.array([[mean]]), np.array([[deviation]]), np.array([[cheap]]))[0]


@pytest.mark.parametrize("cheap", [0.5, 1.0, 2.5, 4.0, 6.5])
@pytest.mark.parametrize(("mean", "deviation"), [(3.0, 1.0), (0.5, 0.3), (6.0, 2.0)])
def test_with_one_cheap_objective_the_gain_is_the_expected_hypervolume(mean, deviation, cheap):
    draws = np.random.default_rng(1).normal(mean, deviation, size=20_000)
    before = hypervolume(POINTS, (5.0, 7.0))
    added = np.mean([hypervolume([*POINTS, (value, cheap)], (5.0, 7.0)) - before for value in draws[:4000]])
    assert gain_of(mean, deviation, cheap) == pytest.approx(added, rel=0.12, abs=0.02)


def test_what_is_dearer_than_anything_seen_promises_nothing():
    assert gain_of(0.0, 1.0, 7.5) == 0


def test_a_candidate_supposed_seen_leaves_little_to_another_of_its_kind():
    gain = ExpectedGain(POINTS, num_expensive=1, rng=np.random.default_rng(0))
    asked = np.array([[0.5]]), np.array([[0.1]]), np.array([[2.0]])
    before = gain(*asked)[0]
    gain.suppose(np.array([0.5]), np.array([2.0]))
    assert gain(*asked)[0] < 0.1 * before


def test_without_cheap_objectives_it_is_expected_improvement():
    gain = ExpectedGain(np.array([[3.0], [2.0]]), num_expensive=1, rng=np.random.default_rng(0))
    nothing = np.empty((1, 0))
    improvements = np.maximum(2 - np.random.default_rng(1).normal(2.5, 1.0, size=200_000), 0)
    assert gain(np.array([[2.5]]), np.array([[1.0]]), nothing)[0] == pytest.approx(improvements.mean(), rel=0.02)


@pytest.mark.parametrize("num_expensive", [1, 2])
def test_of_more_objectives_what_dominates_promises_most(num_expensive):
    points = np.array([[4.0, 1.0, 3.0], [2.0, 3.0, 4.0], [1.0, 6.0, 2.0]])
    gain = ExpectedGain(points, num_expensive=num_expensive, rng=np.random.default_rng(0))
    candidates = np.array([[0.5, 0.5, 1.0], [1.5, 2.5, 3.9], [4.0, 6.0, 4.0]])
    means, cheap = candidates[:, :num_expensive], candidates[:, num_expensive:]
    gains = gain(means, np.full_like(means, 1e-3), cheap)
    assert gains[0] > gains[1] > 0
    assert gains[2] == pytest.approx(0, abs=1e-6)
