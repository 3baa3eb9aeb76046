import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from proxies.errors import FidelityError
from proxies.fidelity import (
    agreement,
    bootstrap,
    equally_large,
    kendall,
    probability_of_beating,
    spearman,
)

TRUTH = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]


def pairs(seed, *, num=17, num_distinct=None):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=num) if num_distinct is None else rng.integers(num_distinct, size=num).astype(float)
    return first, first + rng.normal(size=num)


@pytest.mark.parametrize("num_distinct", [None, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rank_correlations_are_those_of_scipy_with_ties_and_without(seed, num_distinct):
    first, second = pairs(seed, num_distinct=num_distinct)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second)[0])
    assert kendall(first, second) == pytest.approx(kendalltau(first, second)[0])


def test_many_lists_at_once_are_correlated_each_for_itself(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(9, 6)), rng.normal(size=(9, 6))
    for statistic in (spearman, kendall):
        each = [float(statistic(a, b)) for a, b in zip(first, second, strict=True)]
        np.testing.assert_allclose(statistic(first, second), each)
    whole = kendall(first, second)
    # Too many pairs for one go are compared in parts.
    monkeypatch.setattr("proxies.fidelity._MOST_PAIRS", 50)
    np.testing.assert_array_equal(kendall(first, second), whole)


def test_a_constant_list_correlates_with_nothing():
    first, second = np.full(6, 2.0), np.arange(6.0)
    assert spearman(first, second) == kendall(first, second) == 0


def test_a_perfect_score_has_the_best_first_and_no_regret():
    found = agreement([value**2 for value in TRUTH], TRUTH, seed=0)
    assert (found.spearman.value, found.kendall.value) == (pytest.approx(1), pytest.approx(1))
    assert (found.regret, found.has_best_in_top_k, found.num_candidates) == (0, True, 6)


def test_regret_and_top_k_are_those_counted_by_hand():
    # The first choice is the third best; the best comes fourth.
    score = [4.0, 2.0, 1.0, 3.0, 5.0, 6.0]
    found = agreement(score, TRUTH, top_k=3, seed=0)
    assert found.regret == pytest.approx(12 / 10 - 1)
    assert not found.has_best_in_top_k
    assert agreement(score, TRUTH, top_k=4, seed=0).has_best_in_top_k


def test_an_interval_is_that_of_resampled_candidates_and_depends_on_the_seed_alone():
    first, second = pairs(3)
    estimate = bootstrap(spearman, first, second, seed=5)
    rng = np.random.default_rng(5)
    drawn = [spearmanr(first[rows], second[rows])[0] for rows in rng.integers(17, size=(1000, 17))]
    assert (estimate.low, estimate.high) == (
        pytest.approx(np.quantile(drawn, 0.05)),
        pytest.approx(np.quantile(drawn, 0.95)),
    )
    assert estimate.low < estimate.value < estimate.high
    assert bootstrap(spearman, first, second, seed=5) == estimate
    assert bootstrap(spearman, first, second, seed=6) != estimate


def test_a_perfect_score_beats_a_random_one_and_never_itself():
    rng = np.random.default_rng(0)
    truth = list(rng.normal(size=20))
    noise = list(rng.normal(size=20))
    assert probability_of_beating(truth, noise, truth, seed=0) == 1
    assert probability_of_beating(noise, truth, truth, seed=0) == 0
    assert probability_of_beating(truth, truth, truth, seed=0) == 0


def test_the_largest_group_within_a_tenth_of_one_size_counts_as_equally_large():
    sizes = [50, 90, 95, 100, 105, 109, 200, 400]
    assert equally_large(sizes) == [1, 2, 3, 4, 5]
    assert equally_large([*sizes, 111]) == [1, 2, 3, 4, 5]
    assert equally_large([*sizes, 110]) == [1, 2, 3, 4, 5, 8]


def test_fewer_than_five_of_one_size_are_none():
    assert equally_large([100, 101, 102, 103, 500, 600]) == []


@pytest.mark.parametrize(
    ("score", "truth", "words"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], "at least 5 candidates; got 4"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], "got 5 and 6"),
        ([1, 2, 3, 4, float("nan")], [1, 2, 3, 4, 5], "finite"),
        ([1, 2, 3, 4, 5], [1, 2, 3, 4, float("inf")], "finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(score, truth, words):
    with pytest.raises(FidelityError, match=words):
        agreement(score, truth, seed=0)
    with pytest.raises(FidelityError, match=words):
        probability_of_beating(score, score, truth, seed=0)
