import json
import math

import numpy as np
import pytest

from proxies.errors import FidelityError
from proxies.projection import PRIOR_PARAMETER_WEIGHT, Projection, fit_projection, out_of_sample, prior_projection
from proxies.traits import PARAMETERS, size_trait, traits_of
from search_spaces import architecture_from_pattern


def spearman(one, other):
    return np.corrcoef(np.argsort(np.argsort(one)), np.argsort(np.argsort(other)))[0, 1]


def made_up(num, *, constant=-0.4, perplexity_weight=0.8, parameter_weight=-0.1, noise=0.0, seed=0):
    """Candidates whose long perplexity follows a known projection."""
    rng = np.random.default_rng(seed)
    perplexities, sizes = np.exp(rng.normal(3, 0.4, num)), np.exp(rng.normal(13, 0.8, num))
    reference = np.exp(np.mean(np.log(sizes)))
    logs = constant + perplexity_weight * np.log(perplexities) + parameter_weight * np.log(sizes / reference)
    longs = np.exp(logs + rng.normal(0, noise, num) if noise else logs)
    return list(perplexities), [size_trait(size) for size in sizes], list(longs)


def test_the_prior_takes_a_quarter_of_the_logarithm_of_parameters_off_the_loss():
    projection = prior_projection([size_trait(1000)])
    assert projection(20.0, size_trait(1000)) == pytest.approx(20)
    assert projection(20.0, size_trait(4000)) == pytest.approx(20 * 4**-0.25)
    assert PRIOR_PARAMETER_WEIGHT == -0.25
    assert projection.num_long_trainings == 0


def test_of_two_equal_perplexities_the_larger_model_is_projected_better():
    projection = prior_projection([size_trait(1000)])
    small, middle, large = (projection(20.0, size_trait(size)) for size in (500, 1000, 2000))
    assert large < middle < small


def test_many_long_trainings_recover_the_weights_they_follow():
    projection = fit_projection(*made_up(400))
    assert projection.constant == pytest.approx(-0.4, abs=0.02)
    assert projection.perplexity_weight == pytest.approx(0.8, abs=0.01)
    assert projection.weights[PARAMETERS] == pytest.approx(-0.1, abs=0.01)
    assert projection.num_long_trainings == 400


def test_noise_does_not_keep_many_from_recovering_them():
    projection = fit_projection(*made_up(400, noise=0.03))
    assert projection.weights[PARAMETERS] == pytest.approx(-0.1, abs=0.02)


def test_one_long_training_moves_only_the_level():
    projection = fit_projection([20.0], [size_trait(1000)], [10.0])
    assert projection(20.0, size_trait(1000)) == pytest.approx(10)
    assert projection.perplexity_weight == pytest.approx(1)
    assert projection.weights[PARAMETERS] == pytest.approx(PRIOR_PARAMETER_WEIGHT)


def test_few_long_trainings_move_the_weights_less_than_many():
    few, many = (fit_projection(*made_up(num, noise=0.03, parameter_weight=0.3)) for num in (3, 300))
    assert PRIOR_PARAMETER_WEIGHT < few.weights[PARAMETERS] < many.weights[PARAMETERS]


def test_few_long_trainings_that_spread_less_leave_the_ratio_of_the_weights_nearly_as_it_was():
    # The ratio alone decides the order. Weights that stray apart from each other would move it by 0.3.
    for seed in range(20):
        projection = fit_projection(
            *made_up(3, perplexity_weight=0.4, parameter_weight=-0.1, noise=0.03, seed=seed),
        )
        ratio = projection.weights[PARAMETERS] / projection.perplexity_weight
        assert ratio == pytest.approx(PRIOR_PARAMETER_WEIGHT, abs=0.15)


def test_each_candidate_is_projected_by_weights_of_the_others_alone_at_the_level_of_all():
    perplexities, sizes, longs = made_up(12, noise=0.05)
    left_out = out_of_sample(perplexities, sizes, longs)
    by_hand = fit_projection(perplexities[1:], sizes[1:], longs[1:])
    logs = [math.log(by_hand(*pair)) for pair in zip(perplexities, sizes, strict=True)]
    level = np.mean(np.log(longs))
    assert left_out[0] == pytest.approx(math.exp(level + logs[0] - np.mean(logs)))
    # Its own long training moves the level, its place among the others not.
    changed = out_of_sample(perplexities, sizes, [longs[0] * 3, *longs[1:]])
    ratios = np.array(changed) / np.array(left_out)
    assert ratios[0] == pytest.approx(3 ** (1 / 12))
    assert all(ratio != pytest.approx(ratios[0]) for ratio in ratios[1:])


def test_leaving_out_alone_does_not_turn_an_order_around():
    # With a level of its own, what is left out would be ranked by the others' mean: exactly backwards.
    longs = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]
    assert np.ptp(out_of_sample([20.0] * 6, [size_trait(1000)] * 6, longs)) == pytest.approx(0, abs=1e-9)


def test_what_operators_and_shape_make_of_longer_training_is_learnt_from_the_others():
    # Mamba2 is ahead early and gains less later: raw perplexity ranks the other way round.
    rng = np.random.default_rng(0)
    patterns = ["m2 f m2 f", "gd f gd f", "m2 f gd f", "m2 m2 gd", "gd gd m2 f", "d f m2", "gd f d f", "m2 f"] * 2
    models = [
        architecture_from_pattern(pattern, hidden_size=width, vocab_size=257)
        for pattern, width in zip(patterns, [64, 128] * 8, strict=True)
    ]
    shares = np.array([model.letters.count("m2") / model.depth for model in models])
    shorts = np.exp(2.0 - 0.2 * shares + rng.normal(0, 0.02, 16))
    longs = np.exp(1.5 + 0.2 * shares + rng.normal(0, 0.02, 16))
    projected = out_of_sample(list(shorts), [traits_of(model) for model in models], list(longs))
    assert spearman(shorts, longs) < -0.5
    assert spearman(projected, longs) > 0.8


def test_an_operator_that_was_not_among_the_longer_trained_counts_nothing():
    models = [architecture_from_pattern(pattern, hidden_size=64, vocab_size=257) for pattern in ("m2 f", "m2 m2 f")]
    projection = fit_projection([20.0, 19.0], [traits_of(model) for model in models], [10.0, 9.9])
    traits = traits_of(models[0])
    assert projection(20.0, {**traits, "share_gd": 0.5}) == projection(20.0, traits)


def test_a_projection_survives_json():
    projection = fit_projection(*made_up(7))
    assert Projection.from_dict(json.loads(json.dumps(projection.to_dict()))) == projection


def test_a_projection_of_an_earlier_version_is_read_as_it_was():
    earlier = {"constant": -0.4, "perplexity_weight": 0.8, "parameter_weight": -0.2, "reference_parameters": 1000.0}
    projection = Projection.from_dict({**earlier, "num_long_trainings": 5})
    expected = math.exp(-0.4) * 20**0.8 * 2**-0.2
    assert projection(20.0, size_trait(2000)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (([], [], []), "needs a model to begin with"),
        (([20.0, 21.0], [{PARAMETERS: 7.0}], [10.0, 11.0]), "of the same models"),
        (([20.0], [{PARAMETERS: -math.inf}], [10.0]), "positive"),
        (([20.0], [{PARAMETERS: 7.0}], [math.inf]), "positive"),
    ],
)
def test_figures_that_say_nothing_are_refused(figures, words):
    with pytest.raises(FidelityError, match=words):
        fit_projection(*figures)
