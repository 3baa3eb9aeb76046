import itertools

import numpy as np
import pytest

from nas.errors import UsageError
from nas.scaling.intervals import fit_with_intervals
from nas.scaling.law import ScalingLaw, ScalingPoint
from nas.scaling.recommendation import PricedSetting, budget_steps, recommend

LAW = ScalingLaw(l0=3.0, a=4.0, alpha=0.9, b=60.0, beta=0.8)
TRAINED = list(itertools.product((2, 4, 6, 8), (64, 128, 192, 256)))


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    return [
        ScalingPoint(
            depth=depth,
            width=width,
            tokens=1,
            num_parameters=12 * depth * width**2,
            perplexity=float(LAW.predict(depth, width)) * float(np.exp(0.003 * rng.standard_normal())),
        )
        for depth, width in TRAINED
    ]


@pytest.fixture(scope="module")
def fitted(points):
    return fit_with_intervals(points, seed=0)


def settings(*, depths=range(1, 33), widths=range(32, 513, 32), call_ms=0.0):
    """What a machine takes whose operators cost a call and a time that grows with the width squared."""
    return [
        PricedSetting(
            depth=depth,
            width=width,
            latency_ms=depth * (call_ms + (width / 64) ** 2) + 0.01 * width,
            num_parameters=12 * depth * width**2,
        )
        for depth in depths
        for width in widths
    ]


def test_the_least_perplexity_within_the_budget_is_taken(fitted, points):
    priced = settings()
    for budget_ms in (5.0, 20.0, 80.0):
        [found] = recommend(fitted, priced, budgets_ms=[budget_ms], points=points, tokens=1)
        within = [setting for setting in priced if setting.latency_ms <= budget_ms]
        least = min(float(fitted.law.predict(setting.depth, setting.width)) for setting in within)
        assert found.perplexity == least == float(fitted.law.predict(found.setting.depth, found.setting.width))
        assert found.setting.latency_ms <= budget_ms
        assert found.interval[0] <= found.perplexity <= found.interval[1]


def test_more_time_never_means_more_perplexity(fitted, points):
    priced = settings()
    found = recommend(fitted, priced, budgets_ms=budget_steps(priced, num=30), points=points, tokens=1)
    assert (np.diff([one.perplexity for one in found]) <= 0).all()


def test_where_a_call_costs_much_the_best_model_is_shallower(fitted, points):
    [free] = recommend(fitted, settings(), budgets_ms=[100.0], points=points, tokens=1)
    [dear] = recommend(fitted, settings(call_ms=8.0), budgets_ms=[100.0], points=points, tokens=1)
    assert dear.setting.depth < free.setting.depth
    assert dear.depth_to_width < free.depth_to_width


def test_all_draws_agree_where_there_is_one_setting_and_fewer_where_many_are_alike(fitted, points):
    [one] = recommend(fitted, settings(depths=[4], widths=[64]), budgets_ms=[1e9], points=points, tokens=1)
    assert (one.share_of_draws, one.depths_chosen) == (1.0, (4, 4))
    [many] = recommend(fitted, settings(), budgets_ms=[60.0], points=points, tokens=1)
    assert many.share_of_draws < 1
    assert many.depths_chosen[0] <= many.setting.depth <= many.depths_chosen[1]
    assert many.depths_chosen[0] < many.depths_chosen[1]


@pytest.mark.parametrize(
    ("depth", "width", "words"),
    [
        (4, 128, ""),
        (16, 128, "depth 2× the greatest trained"),
        (4, 512, "width 2× the greatest trained"),
        (1, 32, "depth below the least trained, 2, width below the least trained, 64"),
    ],
)
def test_what_lies_beyond_the_trained_settings_is_said(fitted, points, depth, width, words):
    [found] = recommend(fitted, settings(depths=[depth], widths=[width]), budgets_ms=[1e9], points=points, tokens=1)
    assert found.beyond == words


def test_a_budget_below_the_fastest_setting_names_it(fitted, points):
    with pytest.raises(UsageError, match=r"fastest, 1 × 32, takes 0\.57"):
        recommend(fitted, settings(), budgets_ms=[0.1], points=points, tokens=1)
