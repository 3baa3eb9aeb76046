import itertools

import pytest

from latency.lookup import CurveKey, Lookup, UnmeasuredError
from latency.rows import LatencyRow, RowKey

KEY = CurveKey(part="operator", operator="x", hidden_size=64, phase="decode", dtype="float32")


def lookup_of(times: dict[tuple[int, int], float]) -> Lookup:
    """Make a lookup from microseconds by (batch, context)."""
    return Lookup(
        LatencyRow(
            key=RowKey(
                part="operator",
                operator="x",
                hidden_size=64,
                phase="decode",
                batch_size=batch,
                context_tokens=context,
                dtype="float32",
            ),
            median_us=time_us,
            p20_us=time_us,
            p80_us=time_us,
            samples=3,
            backend="torch",
        )
        for (batch, context), time_us in times.items()
    )


def test_measured_rows_come_back_verbatim() -> None:
    times = {
        (batch, context): 1 / 3 + 0.1 * batch * context for batch, context in itertools.product((1, 4), (7, 64, 513))
    }
    lookup = lookup_of(times)
    for (batch, context), time_us in times.items():
        assert lookup.microseconds(KEY, batch_size=batch, context_tokens=context) == time_us


def test_times_are_linear_between_measured_contexts() -> None:
    lookup = lookup_of({(1, 0): 10.0, (1, 100): 20.0, (1, 200): 60.0})
    assert lookup.microseconds(KEY, batch_size=1, context_tokens=50) == pytest.approx(15.0)
    assert lookup.microseconds(KEY, batch_size=1, context_tokens=175) == pytest.approx(50.0)


def test_times_are_linear_between_measured_batches_where_their_contexts_overlap() -> None:
    lookup = lookup_of({(1, 0): 10.0, (1, 100): 20.0, (3, 50): 45.0, (3, 200): 45.0})
    assert lookup.microseconds(KEY, batch_size=2, context_tokens=50) == pytest.approx(30.0)
    assert lookup.microseconds(KEY, batch_size=2, context_tokens=100) == pytest.approx(32.5)
    with pytest.raises(UnmeasuredError, match="context 40 lies outside the measured 50 to 100"):
        lookup.microseconds(KEY, batch_size=2, context_tokens=40)


@pytest.mark.parametrize(
    ("batch", "context", "said"),
    [(1, 9, "context 9 lies outside the measured 10 to 20"), (1, 21, "context 21"), (2, 15, "batch 2 lies outside")],
)
def test_nothing_is_extrapolated(batch, context, said) -> None:
    lookup = lookup_of({(1, 10): 1.0, (1, 20): 2.0})
    with pytest.raises(UnmeasuredError, match=said):
        lookup.microseconds(KEY, batch_size=batch, context_tokens=context)


def test_another_operator_is_never_a_stand_in() -> None:
    with pytest.raises(UnmeasuredError, match="no row"):
        lookup_of({}).microseconds(KEY, batch_size=1, context_tokens=1)


def test_a_growing_context_is_summed_step_by_step() -> None:
    lookup = lookup_of({(1, 0): 10.0, (1, 10): 20.0, (1, 20): 100.0})
    steps = [lookup.microseconds(KEY, batch_size=1, context_tokens=context) for context in range(5, 15)]
    total = lookup.sum_microseconds(KEY, batch_size=1, first_context=5, num_steps=10)
    assert total == pytest.approx(sum(steps))


def test_a_window_stops_growing() -> None:
    lookup = lookup_of({(1, 0): 10.0, (1, 10): 20.0})
    total = lookup.sum_microseconds(KEY, batch_size=1, first_context=9, num_steps=100, most_context=10)
    assert total == pytest.approx(19.0 + 99 * 20.0)


@pytest.mark.parametrize(("batch", "context", "known"), [(1, 10, True), (1, 15, True), (2, 15, True), (1, 21, False)])
def test_what_lies_between_measured_rows_is_known(batch: int, context: int, known: bool) -> None:
    lookup = lookup_of({(1, 10): 1.0, (1, 20): 2.0, (4, 10): 3.0, (4, 20): 4.0})
    key = RowKey(
        part="operator",
        operator="x",
        hidden_size=64,
        phase="decode",
        batch_size=batch,
        context_tokens=context,
        dtype="float32",
    )
    assert lookup.knows(key) is known
