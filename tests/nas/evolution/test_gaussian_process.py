"""What the process predicts, against closed forms and against refitting."""

import numpy as np
import pytest

from nas.evolution.gaussian_process import GaussianProcess


def draw(function, *, num=40, width=3, seed=0):
    features_ND = np.random.default_rng(seed).normal(size=(num, width))
    return features_ND, function(features_ND)


def test_a_linear_function_is_known_beyond_what_was_seen():
    features_ND, values_N = draw(lambda x: 3 + x @ np.array([2.0, -1.0, 0.5]))
    process = GaussianProcess(features_ND, values_N)
    far_ND = 3 * draw(lambda x: x[:, 0], seed=1)[0]
    mean_N, deviation_N = process.predict(far_ND)
    assert process.kernel.linear_share >= 0.9
    assert np.abs(mean_N - (3 + far_ND @ np.array([2.0, -1.0, 0.5]))).max() < 0.2
    assert (deviation_N > 0).all()


def test_doubt_grows_away_from_what_was_seen():
    features_ND, values_N = draw(lambda x: np.sin(2 * x).sum(1))
    process = GaussianProcess(features_ND, values_N)
    _, near = process.predict(features_ND)
    _, far = process.predict(features_ND + 4)
    assert far.mean() > 2 * near.mean()


def test_values_are_met_where_there_is_no_noise():
    features_ND, values_N = draw(lambda x: np.sin(2 * x).sum(1))
    mean_N, _ = GaussianProcess(features_ND, values_N).predict(features_ND)
    assert np.corrcoef(mean_N, values_N)[0, 1] > 0.99


def test_codes_are_told_from_quantities():
    rng = np.random.default_rng(0)
    codes_ND = rng.integers(5, size=(80, 4)).astype(float)
    worth = rng.normal(size=(4, 5))
    values_N = worth[np.arange(4), codes_ND.astype(int)].sum(1)
    assert GaussianProcess(codes_ND, values_N).kernel.is_coded
    assert not GaussianProcess(codes_ND, codes_ND @ np.arange(1.0, 5.0)).kernel.is_coded


def test_out_of_sample_correlation_is_that_of_leaving_each_value_out():
    features_ND, values_N = draw(lambda x: np.sin(x).sum(1) + 0.1 * np.cos(40 * x[:, 0]), num=20)
    process = GaussianProcess(features_ND, values_N)
    left_out = []
    kernel = process.kernel
    scores = (features_ND - features_ND.mean(0)) / features_ND.std(0)
    z_N = (values_N - values_N.mean()) / values_N.std()
    squares = ((scores[:, None] - scores[None]) ** 2).sum(2)
    linear = (scores @ scores.T) / (np.trace(scores @ scores.T) / 20)
    similar = np.exp(-squares / (kernel.reach * np.median(squares[np.triu_indices(20, 1)])))
    shared = kernel.linear_share * linear + (1 - kernel.linear_share) * similar
    for place in range(20):
        rest = np.delete(np.arange(20), place)
        weights = np.linalg.solve(shared[np.ix_(rest, rest)] + kernel.noise * np.eye(19), z_N[rest])
        left_out.append(shared[place, rest] @ weights)
    assert process.out_of_sample_correlation == pytest.approx(np.corrcoef(left_out, z_N)[0, 1], abs=1e-8)


def test_what_has_no_pattern_is_not_trusted():
    features_ND, _ = draw(lambda x: x[:, 0], num=60)
    noise_N = np.random.default_rng(5).normal(size=60)
    assert GaussianProcess(features_ND, noise_N).out_of_sample_correlation < 0.4


def test_features_and_values_that_never_vary_are_no_obstacle():
    process = GaussianProcess(np.ones((10, 3)), np.full(10, 2.0))
    mean_N, deviation_N = process.predict(np.ones((2, 3)))
    assert mean_N == pytest.approx([2.0, 2.0])
    assert np.isfinite(deviation_N).all()
