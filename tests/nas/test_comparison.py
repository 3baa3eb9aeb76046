import math
from dataclasses import replace

import numpy as np
import pytest

from nas.candidates import Candidate, Evaluated, Proposal, Stopped
from nas.comparison import UnitBox, _noise, compare_halves


def filled(toy, points, *, repeats=()):
    """A study whose trials have these (origin, error, cost) and these repeats (number, error)."""
    study = toy.study()
    for number, (origin, error, cost) in enumerate(points):
        genome = (number % 3, number // 3, 0, 0, 0, 0)
        study.add(
            Candidate(
                number=number,
                proposal=Proposal(genome=genome, origin=origin),
                fingerprint=str(number),
                seed=0,
                cheap={"cost": cost},
            )
        )
        study.finish(number, Evaluated(objectives={"error": error}))
    for offset, (number, error) in enumerate(repeats):
        candidate = toy.candidate(len(points) + offset, (0,) * 6, repeat_of=number)
        study.add(candidate)
        study.finish(candidate.number, Evaluated(objectives={"error": error}))
    return study.history()


def test_the_half_that_dominates_more_is_ahead(toy):
    history = filled(toy, [("random", 8.0, 4.0), ("random", 4.0, 8.0), ("mutation", 4.0, 2.0), ("mutation", 2.0, 4.0)])
    halves = compare_halves(history)
    assert halves.num_each == 2
    assert halves.evolved_hypervolume > halves.random_hypervolume
    assert halves.difference == pytest.approx(halves.evolved_hypervolume - halves.random_hypervolume)
    assert "ahead" in str(halves)
    assert "seed noise was not measured" in str(halves)


def test_a_half_that_fell_behind_is_said_to_be_behind(toy):
    history = filled(toy, [("random", 2.0, 2.0), ("mutation", 4.0, 4.0)])
    assert compare_halves(history).difference < 0
    assert "behind" in str(compare_halves(history))


def test_equal_numbers_are_compared(toy):
    points = [("random", 8.0, 8.0)] * 2 + [("mutation", 16.0, 16.0), ("mutation", 4.0, 4.0), ("mutation", 2.0, 2.0)]
    assert compare_halves(filled(toy, points)).num_each == 2


def test_there_is_nothing_to_compare_before_both_halves_have_begun(toy):
    assert compare_halves(filled(toy, [("random", 2.0, 2.0)])) is None
    assert compare_halves(filled(toy, [])) is None


def test_what_was_stopped_early_belongs_to_neither_half(toy):
    study = toy.study()
    ended = (("random", Evaluated(objectives={"error": 4.0})), ("mutation", Evaluated(objectives={"error": 2.0})))
    for number, (origin, outcome) in enumerate((*ended, ("mutation", Stopped()))):
        candidate = toy.candidate(number, (number, 0, 0, 0, 0, 0))
        study.add(replace(candidate, proposal=replace(candidate.proposal, origin=origin), cheap={"cost": 2.0}))
        study.finish(number, outcome)
    assert compare_halves(study.history()).num_each == 1


def test_noise_grows_with_the_difference_between_seeds(toy):
    def noise(difference):
        again = [(0, 4.0 * math.exp(difference)), (1, 2.0)]
        return compare_halves(filled(toy, [("random", 4.0, 4.0), ("mutation", 2.0, 2.0)], repeats=again))

    assert noise(0.2).num_repeats == 2
    assert 0 < noise(0.02).noise < noise(0.2).noise < 0.5


def test_without_a_difference_between_seeds_there_is_no_noise(toy):
    history = filled(toy, [("random", 4.0, 4.0), ("mutation", 2.0, 2.0)], repeats=[(0, 4.0)])
    assert compare_halves(history).noise == pytest.approx(0.0, abs=1e-12)


def test_the_box_spans_best_to_worst_and_a_margin():
    box = UnitBox([(1.0, 8.0), (4.0, 2.0)])
    (first, second) = box.place([(1.0, 8.0), (4.0, 2.0)])
    assert first == pytest.approx((0.0, 1 / 1.05))
    assert second == pytest.approx((1 / 1.05, 0.0))
    assert 0 < box.hypervolume([(1.0, 8.0)]) < 1


@pytest.mark.parametrize("num_objectives", [1, 2, 3])
def test_the_noise_is_what_drawing_every_first_objective_anew_gives(num_objectives):
    rng = np.random.default_rng(3)
    halves = [rng.uniform(1, 10, size=(30, num_objectives)).tolist() for _ in range(2)]
    box = UnitBox([*halves[0], *halves[1]])

    def shaken(points, draws):
        factors = np.exp(draws.normal(0.0, 0.02, size=len(points)))
        return [(point[0] * factor, *point[1:]) for point, factor in zip(points, factors.tolist(), strict=True)]

    draws = np.random.default_rng(0)
    count = 400 if num_objectives == 2 else 100
    volumes = [
        box.hypervolume(shaken(halves[1], draws)) - box.hypervolume(shaken(halves[0], draws)) for _ in range(count)
    ]
    assert _noise(box, *halves, deviation=0.02) == pytest.approx(np.std(volumes))
