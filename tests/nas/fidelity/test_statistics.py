import json
import math

import pytest

from nas.fidelity.rows import FidelityRow
from nas.fidelity.statistics import (
    Comparison,
    compare,
    noise_over_seeds,
    shorter_trainings,
)
from proxies.errors import FidelityError
from proxies.projection import out_of_sample
from proxies.traits import size_trait

LENGTHS = (0.5, 1.0, 4.0)


def row(trial, *, perplexity, truth, half=None, size=None, seeds=(1000, 1001)):
    """A candidate whose perplexity differs by a thousandth between seeds."""
    size = 1000 * (trial + 1) if size is None else size
    half = perplexity if half is None else half
    lengths = {0.5: half, 1.0: perplexity, 4.0: truth}
    trained = {
        times: {seed: value * 1.001**place for place, seed in enumerate(seeds)} for times, value in lengths.items()
    }
    return FidelityRow(
        trial=trial,
        pattern="a f",
        is_frontier=trial == 0,
        perplexity=perplexity,
        num_parameters=size,
        traits=size_trait(size),
        scores={"num_parameters": -float(size), "flops_per_token": -2.0 * size, "depth": -2.0},
        trained=trained,
    )


@pytest.fixture
def rows():
    """Short training ranks backwards; size ranks perfectly."""
    return [row(trial, perplexity=20.0 + trial, truth=40.0 - trial) for trial in range(10)]


def compared(rows, **changes):
    return compare(rows, **({"times": 4.0, "lengths": LENGTHS, "seed": 0} | changes))


def test_every_score_is_compared_with_the_mean_over_seeds_of_the_longer_training(rows):
    found = compared(rows)
    assert found.trials == tuple(range(10))
    assert found.scores["perplexity"].spearman.value == pytest.approx(-1)
    assert found.scores["num_parameters"].spearman.value == pytest.approx(1)
    assert found.scores["depth"].spearman.value == 0
    assert found.scores["perplexity"].regret == pytest.approx(40 / 31 - 1)
    assert list(found.scores) == [
        "perplexity",
        "projection",
        "trained 0.5×",
        "trained 1×",
        "num_parameters",
        "flops_per_token",
        "depth",
    ]


def test_the_projection_is_judged_out_of_sample(rows):
    longs = [row.at(4.0) for row in rows]
    projected = out_of_sample([row.perplexity for row in rows], [row.traits for row in rows], longs)
    by_rank = sorted(range(10), key=projected.__getitem__)
    found = compared(rows)
    assert found.scores["projection"].regret == pytest.approx(rows[by_rank[0]].at(4.0) / rows[9].at(4.0) - 1)
    assert found.projection_beats_perplexity == 1
    assert found.perplexity_beats_projection == 0


def test_at_one_size_only_candidates_of_that_size_are_compared(rows):
    assert compared(rows).equally_large == {}
    alike = [row(trial, perplexity=30.0 - trial, truth=50.0 - trial, size=5000 + trial) for trial in range(20, 26)]
    found = compared([*rows, *alike]).equally_large["perplexity"]
    # And those of 5000 and 6000 parameters.
    assert found.num_candidates == 6 + 2
    assert compared([*rows, *alike]).scores["perplexity"].num_candidates == 16


def test_a_candidate_whose_longer_trainings_all_failed_counts_nowhere(rows):
    failed = FidelityRow(
        **{name: getattr(rows[0], name) for name in rows[0].__slots__} | {"trained": {1.0: {1000: 9.0}}}
    )
    assert compared([failed, *rows[1:]]).trials == tuple(range(1, 10))


def test_a_score_that_fewer_than_five_have_is_left_out(rows):
    known = [
        FidelityRow(**{name: getattr(one, name) for name in one.__slots__} | {"scores": {**one.scores, "snip": -1.0}})
        for one in rows[:4]
    ]
    assert "snip" not in compared([*known, *rows[4:]]).scores


def test_too_few_long_trainings_are_refused_with_their_number(rows):
    with pytest.raises(FidelityError, match="4 of 4 were trained 4 times as long"):
        compared(rows[:4])


def test_a_comparison_survives_json(rows):
    found = compared(rows)
    assert Comparison.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert FidelityRow.from_dict(json.loads(json.dumps(rows[0].to_dict()))) == rows[0]


def test_a_shorter_training_that_ranks_the_same_ranks_as_well():
    rows = [row(trial, perplexity=20.0 + trial, truth=30.0 + trial, half=25.0 + 2 * trial) for trial in range(10)]
    (half,) = shorter_trainings(rows, times=4.0, lengths=LENGTHS, first_seed=1000, seed=0)
    assert (half.times, half.run_is_better, half.ranks_as_well) == (0.5, 0, True)
    assert half.spearman.value == pytest.approx(1)


def test_a_shorter_training_that_ranks_backwards_does_not():
    rows = [row(trial, perplexity=20.0 + trial, truth=30.0 + trial, half=25.0 - trial) for trial in range(10)]
    (half,) = shorter_trainings(rows, times=4.0, lengths=LENGTHS, first_seed=1000, seed=0)
    assert (half.run_is_better, half.ranks_as_well) == (1, False)


def test_noise_is_the_deviation_of_the_logarithm_over_seeds(rows):
    noise = noise_over_seeds(rows, times=4.0)
    # Of two values a apart, the deviation is a / √2.
    assert noise.deviation == pytest.approx(math.log(1.001) / math.sqrt(2))
    assert noise.num_candidates == 10
    once = [row(trial, perplexity=20.0, truth=30.0, seeds=(1000,)) for trial in range(5)]
    assert noise_over_seeds(once, times=4.0) is None
