import json
import math
from dataclasses import replace

import pytest

from latency.device import DeviceFingerprint
from latency.rows import LatencyRow, RowKey
from latency.table import LatencyTable
from latency.table_difference import difference


def row(median_us: float, *, context_tokens: int = 0, spread: float = 0.01) -> LatencyRow:
    key = RowKey(
        part="embedding",
        hidden_size=8,
        vocab_size=16,
        phase="decode",
        batch_size=1,
        context_tokens=context_tokens,
        dtype="float32",
    )
    low, high = median_us * (1 - spread), median_us * (1 + spread)
    return LatencyRow(key=key, median_us=median_us, p20_us=low, p80_us=high, samples=9, backend="torch")


@pytest.fixture
def fingerprint() -> DeviceFingerprint:
    return DeviceFingerprint(device_name="a CPU", kind="cpu", memory_bytes=1 << 30, num_threads=1, torch="2.13.0")


def test_the_largest_change_comes_first_whether_faster_or_slower(fingerprint: DeviceFingerprint) -> None:
    before = LatencyTable(fingerprint=fingerprint, rows=[row(10, context_tokens=n) for n in (1, 2, 3)])
    after = LatencyTable(
        fingerprint=fingerprint,
        rows=[row(11, context_tokens=1), row(5, context_tokens=2), row(10, context_tokens=3)],
    )
    found = difference(before, after)
    assert [change.ratio for change in found.changes] == pytest.approx([0.5, 1.1, 1.0])
    assert found.median_ratio == pytest.approx(1.0)
    assert [change.is_beyond_noise for change in found.changes] == [True, True, False]
    assert found.num_beyond_noise == 2


def test_a_change_within_the_noise_is_not_marked(fingerprint: DeviceFingerprint) -> None:
    before = LatencyTable(fingerprint=fingerprint, rows=[row(10, spread=0.2)])
    after = LatencyTable(fingerprint=fingerprint, rows=[row(11, spread=0.2)])
    assert not difference(before, after).num_beyond_noise


def test_rows_of_one_table_only_and_differing_versions_are_named(fingerprint: DeviceFingerprint) -> None:
    before = LatencyTable(fingerprint=fingerprint, rows=[row(10, context_tokens=1)])
    after = LatencyTable(fingerprint=replace(fingerprint, torch="2.14.0"), rows=[row(10, context_tokens=2)])
    found = difference(before, after)
    assert [key.context_tokens for key in found.only_before] == [1]
    assert [key.context_tokens for key in found.only_after] == [2]
    assert found.fingerprints["torch"] == ("2.13.0", "2.14.0")
    assert found.to_dict()["median_ratio"] is None


@pytest.mark.parametrize(("before_us", "after_us", "ratio"), [(0.0, 2.0, math.inf), (2.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
def test_an_overhead_of_nothing_can_be_compared(before_us: float, after_us: float, ratio: float) -> None:
    key = RowKey(part="overhead", hidden_size=8, phase="decode", batch_size=1, context_tokens=0, dtype="float32")
    fingerprint = DeviceFingerprint(device_name="a", kind="cpu", memory_bytes=1, num_threads=1)
    tables = [
        LatencyTable(
            fingerprint=fingerprint,
            rows=[LatencyRow(key=key, median_us=us, p20_us=us, p80_us=us, samples=3, backend="torch")],
        )
        for us in (before_us, after_us)
    ]
    found = difference(*tables)
    assert found.changes[0].ratio == ratio
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))
