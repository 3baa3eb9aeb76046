import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxies.epochs import epoch_order


@given(st.integers(1, 3000), st.integers(0, 5))
def test_an_epoch_holds_every_sequence_once(num: int, seed: int) -> None:
    order = epoch_order(np.arange(2 * num), num_sequences=num, seed=seed)
    for epoch in (order[:num], order[num:]):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(num))


def test_epochs_and_seeds_have_orders_of_their_own_and_none_is_that_of_the_text() -> None:
    orders = [epoch_order(np.arange(4000), num_sequences=1000, seed=seed).reshape(4, 1000) for seed in (0, 1)]
    distinct = {epoch.tobytes() for order in orders for epoch in order} | {np.arange(1000).tobytes()}
    assert len(distinct) == 9


def test_any_part_of_the_order_is_found_without_the_rest() -> None:
    whole = epoch_order(np.arange(500), num_sequences=77, seed=3)
    parts = [epoch_order(np.arange(start, start + 25), num_sequences=77, seed=3) for start in range(0, 500, 25)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_corpus_may_be_larger_than_any_memory() -> None:
    num = 10**12 + 7
    order = epoch_order(np.arange(num - 5000, num), num_sequences=num, seed=0)
    assert len(set(order.tolist())) == 5000
    assert order.min() >= 0
    assert order.max() < num


def test_the_order_looks_random() -> None:
    num = 4096
    order = epoch_order(np.arange(num), num_sequences=num, seed=0)
    # A tenth of the places draws evenly from the whole, and neighbours are no neighbours.
    counts, _ = np.histogram(order[: num // 10], bins=8, range=(0, num))
    assert counts.min() > 25
    assert np.mean(np.abs(np.diff(order)) < num // 100) == pytest.approx(0.02, abs=0.01)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05
