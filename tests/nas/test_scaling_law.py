import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.scaling.holdout import hold_out, split_by_size
from nas.scaling.intervals import FittedLaw, fit_with_intervals
from nas.scaling.law import ScalingError, ScalingLaw, ScalingPoint, fit
from nas.scaling.study import ScalingStudy, study_points

TRUTH = ScalingLaw(l0=3.0, a=4.0, alpha=0.9, b=60.0, beta=0.8)
DEPTHS, WIDTHS = (2, 3, 4, 6, 8), (64, 96, 128, 192, 256)


def points_of(law, *, depths=DEPTHS, widths=WIDTHS, tokens=(1000,), noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        ScalingPoint(
            depth=depth,
            width=width,
            tokens=count,
            num_parameters=12 * depth * width**2,
            perplexity=float(law.predict(depth, width, count)) * float(np.exp(noise * rng.standard_normal())),
        )
        for depth, width, count in itertools.product(depths, widths, tokens)
    ]


@pytest.fixture(scope="module")
def noisy():
    return fit_with_intervals(points_of(TRUTH, noise=0.002, seed=1), seed=0)


def test_without_noise_the_law_comes_back():
    found = fit(points_of(TRUTH))
    assert found.parameters == pytest.approx(TRUTH.parameters, rel=1e-3)


def test_with_noise_every_true_parameter_lies_in_its_interval(noisy):
    for name, value in TRUTH.parameters.items():
        low, high = noisy.interval(name)
        assert low < value < high, name
    assert noisy.doubts() == []


def test_intervals_grow_with_the_noise(noisy):
    noisier = fit_with_intervals(points_of(TRUTH, noise=0.01, seed=1), seed=0)
    for name in ("alpha", "beta"):
        assert np.ptp(noisier.interval(name)) > np.ptp(noisy.interval(name))


def test_the_same_seed_gives_the_same_draws_and_another_does_not(noisy):
    points = points_of(TRUTH, noise=0.002, seed=1)
    assert fit_with_intervals(points, seed=0) == noisy
    assert fit_with_intervals(points, seed=1, num_draws=5).draws != noisy.draws[:5]


def test_tokens_get_a_term_only_where_they_vary():
    law = dataclasses.replace(TRUTH, c=200.0, gamma=0.5)
    merged = fit(points_of(law, tokens=(10_000,)))
    assert not merged.has_token_term
    assert merged.l0 == pytest.approx(3.0 + 200 * 10_000**-0.5, rel=1e-3)
    varied = fit(points_of(law, tokens=(1_000, 4_000, 16_000)))
    assert varied.parameters == pytest.approx(law.parameters, rel=5e-3)


def test_an_outlier_hardly_moves_the_law():
    points = points_of(TRUTH, noise=0.002)
    points[7] = dataclasses.replace(points[7], perplexity=2 * points[7].perplexity)
    found = fit(points)
    assert float(found.predict(12, 384)) == pytest.approx(float(TRUTH.predict(12, 384)), rel=0.01)


@settings(deadline=None, max_examples=20)
@given(
    alpha=st.floats(0.2, 2),
    beta=st.floats(0.2, 2),
    depth_share=st.floats(0.1, 5),
    width_share=st.floats(0.1, 5),
)
def test_predictions_fall_with_depth_and_width(alpha, beta, depth_share, width_share):
    law = ScalingLaw(l0=2.0, a=depth_share * 4**alpha, alpha=alpha, b=width_share * 128**beta, beta=beta)
    found = fit(points_of(law, noise=0.005))
    depths = found.predict(np.arange(1, 60), 128)
    widths = found.predict(4, np.arange(32, 2048, 32))
    assert (np.diff(depths) <= 0).all()
    assert (np.diff(widths) <= 0).all()
    assert (depths > found.l0).all()


def test_larger_settings_are_predicted_within_the_noise():
    found = hold_out(points_of(TRUTH, noise=0.003, seed=2), share=0.25, seed=0)
    assert len(found.points) == 7
    assert found.max_error < 0.02
    assert found.mean_error <= found.max_error
    assert found.times_larger == pytest.approx(8 * 256**2 / (8 * 128**2))
    largest = max(found.points, key=lambda point: point.num_parameters)
    assert (largest.depth, largest.width) == (8, 256)
    assert largest.interval[0] < largest.predicted < largest.interval[1]
    assert largest.times_wider == pytest.approx(256 / max(point.width for point in kept(0.25)))


def kept(share):
    return split_by_size(points_of(TRUTH), share=share)[0]


def test_what_is_held_out_is_larger_than_all_that_is_fitted():
    fitted, out = split_by_size(points_of(TRUTH), share=0.3)
    assert len(fitted) + len(out) == 25
    assert max(point.num_parameters for point in fitted) < min(point.num_parameters for point in out)


def test_a_law_that_does_not_hold_shows_in_the_held_out_error():
    broken = [
        dataclasses.replace(point, perplexity=point.perplexity * (1.2 if point.num_parameters > 2_000_000 else 1))
        for point in points_of(TRUTH)
    ]
    assert hold_out(broken, share=0.25, seed=0).max_error > 0.1


def test_flat_points_are_not_called_a_power_law():
    rng = np.random.default_rng(3)
    flat = [
        dataclasses.replace(p, perplexity=20 * float(np.exp(0.01 * rng.standard_normal()))) for p in points_of(TRUTH)
    ]
    doubts = fit_with_intervals(flat, seed=0).doubts()
    assert len(doubts) == 2
    assert "do not identify a power law in depth" in doubts[0]
    assert "beyond them they do not" in doubts[1]


@pytest.mark.parametrize(
    ("depths", "widths", "words"),
    [
        ((2, 4), WIDTHS, "at least 3 depths; got 2, 4"),
        (DEPTHS, (64, 96), "at least 3 widths; got 64, 96"),
        ((), (), "at least 3 depths; got none"),
    ],
)
def test_too_few_depths_or_widths_are_refused(depths, widths, words):
    with pytest.raises(ScalingError, match=words):
        fit(points_of(TRUTH, depths=depths, widths=widths))


def test_as_many_settings_as_parameters_are_refused():
    points = [p for p in points_of(TRUTH) if (p.depth, p.width) in {(2, 64), (3, 64), (4, 64), (2, 96), (2, 128)}]
    with pytest.raises(ScalingError, match="has 5 parameters and needs more settings than that; got 5"):
        fit(points)


def test_depth_that_follows_width_is_refused():
    along = [
        p
        for d, w in ((2, 64), (3, 96), (4, 128), (6, 192), (8, 256))
        for p in points_of(TRUTH)
        if (p.depth, p.width) == (d, w)
    ]
    along += [dataclasses.replace(along[-1], depth=16, width=512), dataclasses.replace(along[-1], depth=32, width=1024)]
    with pytest.raises(ScalingError, match="must vary apart"):
        fit(along)


def test_a_perplexity_below_one_is_refused():
    points = points_of(TRUTH)
    points[3] = dataclasses.replace(points[3], perplexity=0.5)
    with pytest.raises(ScalingError, match=r"at least 1; got 0.5 at 2 × 192"):
        fit(points)


def test_a_share_held_out_that_leaves_too_little_is_a_caveat_of_the_study():
    small = points_of(TRUTH, depths=(2, 3, 4), widths=(64, 96, 128), noise=0.002)
    study = study_points(small, name="small", share_held_out=0.6, seed=0)
    assert study.held_out is None
    assert "not put to the test" in study.caveats[0]
    with pytest.raises(ScalingError, match="between 0 and 1"):
        split_by_size(small, share=1.5)


def test_a_study_is_read_back_as_it_was_written(tmp_path):
    study = study_points(points_of(TRUTH, noise=0.003), name="grid", share_held_out=0.25, seed=0)
    study.save(tmp_path)
    assert ScalingStudy.load(tmp_path) == study
    assert sum(study.is_held_out(point) for point in study.points) == 7


def test_a_folder_without_a_law_and_a_broken_file_say_what_to_do(tmp_path):
    with pytest.raises(ScalingError, match="nas scaling fit"):
        ScalingStudy.load(tmp_path)
    for text in ("{", "{}", '{"schema_version": 1}', "[1]"):
        (tmp_path / "scaling.json").write_text(text)
        with pytest.raises(ScalingError, match="again with"):
            ScalingStudy.load(tmp_path)


def test_a_law_with_a_missing_parameter_is_refused():
    with pytest.raises(ScalingError, match="holds the numbers"):
        ScalingLaw.from_dict({"l0": 1.0})
    with pytest.raises(ScalingError, match="missing"):
        FittedLaw.from_dict({})
