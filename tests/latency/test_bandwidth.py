from contextlib import nullcontext

import pytest
import torch

from latency import bandwidth
from latency.bandwidth import ensure_bandwidth, read_bytes_per_second
from latency.device_probe import current_fingerprint
from latency.measure import profile
from latency.table import READ_BYTES_PER_SECOND, LatencyTable


@pytest.fixture
def table() -> LatencyTable:
    return LatencyTable(fingerprint=current_fingerprint("cpu", num_threads=1))


def test_a_bandwidth_is_the_bytes_of_the_buffer_over_the_median_time(monkeypatch) -> None:
    seconds = iter([9.0, 9.0, 0.5, 0.25, 0.125, 0.5, 0.5, 0.25, 0.125])
    read = []

    def clock(buffer, _sums) -> float:
        read.append(buffer.nbytes)
        return next(seconds)

    monkeypatch.setattr(bandwidth, "_seconds_on_cpu", clock)
    assert read_bytes_per_second("cpu", num_threads=2) == (256 + 64) * 2**20 / 0.25
    assert set(read) == {(256 + 64) * 2**20}


def test_a_clock_reads_the_whole_buffer() -> None:
    buffer, sums = torch.ones(3, 5), torch.zeros(3)
    assert bandwidth._seconds_on_cpu(buffer, sums) > 0
    assert sums.tolist() == [5, 5, 5]


def test_events_tell_the_seconds_of_one_reading(monkeypatch) -> None:
    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            pass

        def synchronize(self) -> None:
            pass

        def elapsed_time(self, _other: "Event") -> float:
            return 16.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "device", lambda _device: nullcontext())
    buffer, sums = torch.ones(3, 5), torch.zeros(3)
    assert bandwidth._seconds_on_cuda(buffer, sums) == 0.016 / 8
    assert sums.tolist() == [5, 5, 5]


@pytest.mark.gpu
def test_a_gpu_reads_its_memory_faster_than_a_cpu_and_keeps_none_of_it() -> None:
    found = LatencyTable(fingerprint=current_fingerprint("cuda", num_threads=1))
    ensure_bandwidth(found, device="cuda", num_threads=1)
    assert found.read_bytes_per_second is not None
    assert 5e10 < found.read_bytes_per_second < 2e13
    assert torch.cuda.memory_reserved() < 2**30


def test_profiling_stores_the_bandwidth_once_and_it_travels_with_the_table(table, tmp_path, monkeypatch) -> None:
    grown = profile([], device="cpu", num_threads=1, table=table)
    found = grown.read_bytes_per_second
    assert found is not None
    assert found > 1e8
    grown.save(tmp_path / "table.parquet")
    assert LatencyTable.load(tmp_path / "table.parquet").read_bytes_per_second == found
    monkeypatch.setattr(bandwidth, "read_bytes_per_second", lambda *_args, **_kwargs: pytest.fail("measured again"))
    ensure_bandwidth(grown, device="cpu", num_threads=1)
    assert grown.read_bytes_per_second == found


def test_merging_takes_a_bandwidth_along_but_keeps_an_own_one(table) -> None:
    other = LatencyTable(fingerprint=table.fingerprint, metadata={READ_BYTES_PER_SECOND: 2e9, "validations": []})
    table.merge(other)
    assert table.metadata == {READ_BYTES_PER_SECOND: 2e9}
    other.metadata[READ_BYTES_PER_SECOND] = 3e9
    table.merge(other)
    assert table.read_bytes_per_second == 2e9
