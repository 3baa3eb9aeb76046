import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.winners.mixture import MixedRows


@given(
    weights=st.lists(st.floats(min_value=0.01, max_value=100), min_size=1, max_size=5),
    seed=st.integers(0, 2**62),
    split=st.integers(1, 499),
)
def test_every_source_gets_its_share_and_its_numbers_have_no_gaps(weights, seed, split):
    mixed = MixedRows(weights, seed=seed)
    sources, numbers = mixed.deal(np.arange(500))
    for source, weight in enumerate(weights):
        mine = numbers[sources == source]
        assert mine.tolist() == list(range(len(mine)))
        assert abs(len(mine) - 500 * weight / sum(weights)) <= len(weights)
    # Any part is what it is in the whole.
    again = mixed.deal(np.arange(split, 500))
    assert again[0].tolist() == sources[split:].tolist()
    assert again[1].tolist() == numbers[split:].tolist()


def test_a_mixture_is_even_after_a_trillion_sequences():
    sources, numbers = MixedRows([1, 3], seed=0).deal(10**12 + np.arange(400))
    assert np.bincount(sources).tolist() == [100, 300]
    assert numbers[sources == 0][0] == pytest.approx(10**12 / 4, rel=1e-5)


def test_the_seed_decides_where_the_pattern_begins():
    first = [MixedRows([1, 2, 3], seed=seed).deal(np.arange(12))[0].tolist() for seed in range(8)]
    assert len({tuple(pattern) for pattern in first}) > 4
