"""What a lost task leads to, on a cluster that loses what it is told to."""

from dataclasses import dataclass, field

import pytest

from latency.device import DeviceFingerprint
from latency.plan import MeasurementRequest
from latency.rows import LatencyRow
from latency.table import LatencyTable
from nas.errors import ResourceError
from nas.executors.ray_device import LostTaskError
from nas.remote_measuring import FinishedRow, RemoteMeasuring

FINGERPRINT = DeviceFingerprint(device_name="Model 9000", kind="cuda", memory_bytes=2**36, num_threads=1)


def request(width):
    return MeasurementRequest(
        part="head",
        hidden_size=width,
        vocab_size=64,
        phase="decode",
        batch_size=1,
        context_tokens=0,
        dtype="float32",
    )


ROWS = [request(width) for width in range(1, 9)]


@dataclass
class LosingCluster:
    """Measures one row after the other; a width it cannot stand ends its task."""

    deadly: int
    only_process: bool = True
    is_anywhere: bool = False
    asked: list[list[int]] = field(default_factory=list)

    def obstacle(self):
        return None

    def stream(self, name, function, requests, device, num_threads, fingerprint, metadata):
        self.asked.append([one.hidden_size for one in requests])
        yield [FINGERPRINT]
        if self.is_anywhere and self.deadly in self.asked[-1]:
            raise LostTaskError("killed for memory", only_process=self.only_process)
        for index, one in enumerate(requests):
            if one.hidden_size == self.deadly:
                raise LostTaskError("killed for memory", only_process=self.only_process)
            row = LatencyRow(
                key=one.key, median_us=1.0, p20_us=1.0, p80_us=1.0, samples=3, backend="reference", kernel_revision=""
            )
            yield [FinishedRow(done=index + 1, total=len(requests), row=row, metadata={"bandwidth": 1})]


def measured(cluster, path):
    measuring = RemoteMeasuring(cluster, device="cuda", num_threads=1, max_retries=2)
    return measuring.measured_table(ROWS, path=path, measuring=lambda *_: None)


@pytest.mark.parametrize("is_anywhere", [False, True])
@pytest.mark.parametrize("deadly", [1, 5, 8])
def test_a_row_that_ends_every_process_is_recorded_as_failed_and_the_rest_is_measured(tmp_path, deadly, is_anywhere):
    cluster = LosingCluster(deadly, is_anywhere=is_anywhere)
    table = measured(cluster, tmp_path / "table.parquet")
    [failed] = table.failed
    assert failed.key.hidden_size == deadly
    assert failed.failure == "killed for memory"
    assert {row.key.hidden_size for row in table.measured} == set(range(1, 9)) - {deadly}
    again = LatencyTable.load(tmp_path / "table.parquet")
    assert len(again.measured) == 7
    assert [row.failure for row in again.failed] == ["killed for memory"]
    assert again.metadata["bandwidth"] == 1


def test_rows_that_arrived_are_never_asked_for_again(tmp_path):
    cluster = LosingCluster(5)
    measured(cluster, tmp_path / "table.parquet")
    assert cluster.asked[0] == list(range(1, 9))
    assert all(min(asked) >= 5 for asked in cluster.asked[1:])


def test_nodes_lost_again_and_again_end_the_search_and_keep_what_was_measured(tmp_path):
    cluster = LosingCluster(5, only_process=False)
    with pytest.raises(ResourceError, match=r"width 5, .* lost 3 times, .* continue with nas resume"):
        measured(cluster, tmp_path / "table.parquet")
    assert len(LatencyTable.load(tmp_path / "table.parquet").measured) >= 4
