import dataclasses

import numpy as np
import pytest

from dashboards.analysis.association import association, differences, study_association
from dashboards.analysis.genes import Gene

RNG_SEED = 5
NUM = 400


def gene(name, values):
    return Gene(name=name, label=name, values=np.asarray(values))


def sample():
    """Scores that fall with cost, and by 10 % where the gene is 1."""
    rng = np.random.default_rng(RNG_SEED)
    costs = np.exp(rng.uniform(0, 2, NUM))
    acts = rng.integers(0, 2, NUM).astype(float)
    idle = rng.integers(0, 5, NUM).astype(float)
    scores = 30 * costs**-0.3 * (1 - 0.1 * acts) * np.exp(rng.normal(0, 0.02, NUM))
    return costs, acts, idle, scores


def test_what_is_usual_follows_cost_and_ignores_outliers():
    costs, _, _, _ = sample()
    scores = 30 * costs**-0.3
    scores[:20] *= 50
    apart, is_relative = differences(scores, costs)
    assert is_relative
    assert np.abs(apart[20:]).max() < 1e-3
    assert apart[:20] == pytest.approx(49, rel=1e-2)


def test_without_costs_or_below_zero_differences_are_from_the_median():
    apart, is_relative = differences(np.array([-1.0, 0.0, 4.0]), None)
    assert apart.tolist() == [-1, 0, 4]
    assert not is_relative


def test_a_gene_that_acts_comes_first_with_what_it_brings_and_chance_explains_the_other():
    costs, acts, idle, scores = sample()
    found = association([gene("idle", idle), gene("acts", acts)], scores, costs, seed=0)
    first, second = found.effects
    assert [first.gene, second.gene] == ["acts", "idle"]
    assert first.share > 0.7
    assert first.probability < 0.01
    assert first.best.label == "1"
    medians = [one.median for one in first.bins]
    assert medians[1] - medians[0] == pytest.approx(-0.1, abs=0.02)
    assert second.share < found.chance
    assert second.probability > 0.05
    assert found.num_candidates == NUM


def test_a_gene_that_only_costs_explains_little_at_like_cost():
    costs, _, _, _ = sample()
    rng = np.random.default_rng(1)
    scores = 30 * costs**-0.3 * np.exp(rng.normal(0, 0.02, NUM))
    found = association([gene("size", np.round(costs))], scores, costs, seed=0)
    assert found.effects[0].probability > 0.05


def test_the_band_holds_four_fifths_of_the_candidates():
    scores = np.linspace(1, 2, 101)
    found = association([gene("two", np.arange(101) % 2.0)], scores, None, seed=0)
    for one in found.effects[0].bins:
        inside = np.linspace(1, 2, 101)[::2] / 1.5 - 1
        assert np.mean((inside >= one.low) & (inside <= one.high)) == pytest.approx(0.8, abs=0.05)


def test_many_values_are_binned_by_quantiles_and_words_by_word():
    rng = np.random.default_rng(0)
    scores = rng.uniform(1, 2, NUM)
    words = np.array([None, "relu", "gelu", "gelu"] * (NUM // 4), dtype=object)
    found = association([gene("many", np.arange(NUM, dtype=float)), gene("word", words)], scores, None, seed=0)
    bins = {effect.gene: effect.bins for effect in found.effects}
    assert [one.num_candidates for one in bins["many"]] == [50] * 8
    assert bins["many"][0].label == "0–49"
    assert {one.label: one.num_candidates for one in bins["word"]} == {"gelu": NUM // 2, "relu": NUM // 4}


def test_few_candidates_get_few_bins_and_fewer_still_nothing():
    rng = np.random.default_rng(0)
    scores = rng.uniform(1, 2, 18)
    found = association([gene("many", np.arange(18.0))], scores, None, seed=0)
    assert len(found.effects[0].bins) == 3
    assert association([gene("many", np.arange(11.0))], scores[:11], None, seed=0) is None


def test_scores_and_costs_that_are_not_known_are_left_out():
    costs, acts, _, scores = sample()
    scores[:10], costs[10:20] = np.nan, np.inf
    assert association([gene("acts", acts)], scores, costs, seed=0).num_candidates == NUM - 20


def test_scores_that_are_all_equal_are_explained_by_nothing():
    found = association([gene("a", np.arange(20.0) % 2)], np.ones(20), np.arange(20.0), seed=0)
    assert found.effects[0].share <= found.chance or found.effects[0].probability > 0.05


def test_a_study_is_asked_only_about_its_finished_candidates(results, empty_results, failed_results, foreign_results):
    finished = results.trials[(results.trials["status"] == "finished") & (results.trials["origin"] != "repeat")]
    assert study_association(results).num_candidates == len(finished)
    assert study_association(results) is study_association(dataclasses.replace(results, title="again"))
    assert study_association(empty_results) is None
    assert study_association(failed_results) is None
    assert [effect.gene for effect in study_association(foreign_results).effects] == ["number_of_stages"]


def test_one_objective_needs_no_cost(results):
    alone = dataclasses.replace(results, objectives=results.objectives[:1])
    assert study_association(alone).num_candidates == study_association(results).num_candidates
