from dataclasses import replace

import pytest
from typer.testing import CliRunner

from latency.device import DeviceMismatchError
from latency.device_probe import current_fingerprint
from latency.plan import requests_for_architecture
from latency.rows import LatencyRow
from latency.table import LatencyTable
from latency.workload import Workload
from nas.cli.main import app
from search_spaces import architecture_from_pattern
from search_spaces.errors import UnavailableError

ARCHITECTURE = architecture_from_pattern("d f", hidden_size=64, vocab_size=256)


def rows_of(batch_size):
    return requests_for_architecture(
        ARCHITECTURE, workload=Workload(phase="decode", batch_size=batch_size, generated_tokens=16)
    )


@pytest.fixture
def profiled(tmp_path):
    def run(*arguments):
        command = ["latency", "profile", "--arch", "d f", "--hidden-size", "64", "--vocab-size", "256"]
        command += ["--generated-tokens", "16", "--table", str(tmp_path / "table.parquet")]
        result = CliRunner().invoke(app, [*command, *arguments])
        if result.exception is not None:
            raise result.exception
        return result

    return run


def test_several_batches_are_measured_as_a_grid(profiled, monkeypatch):
    asked = []

    def measured_table(rows, **_):
        asked.extend(rows)
        return LatencyTable(
            fingerprint=current_fingerprint("cpu", num_threads=1), metadata={"read_bytes_per_second": 1e9}
        )

    monkeypatch.setattr("nas.latency_source.measured_table", measured_table)
    profiled("--batch-size", "8", "--batch-size", "2", "--batch-size", "8")
    assert {row.key for row in asked} == {row.key for size in (2, 8) for row in rows_of(size)}
    assert len(asked) == len(rows_of(2)) + len(rows_of(8))
    asked.clear()
    profiled()
    assert {row.key for row in asked} == {row.key for row in rows_of(1)}


def test_an_operator_that_cannot_run_at_all_is_an_error_after_the_rest_is_kept(tmp_path):
    table = tmp_path / "table.parquet"
    command = ["latency", "profile", "--table", str(table), "--arch", "fla:kda f", "--hidden-size", "64"]
    command += ["--vocab-size", "50", "--phase", "decode", "--generated-tokens", "4", "--num-threads", "1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 4
    assert "not measured: fla:kda, width 64" in result.stderr
    assert {row.key.part for row in LatencyTable.load(table).measured} >= {"operator", "head"}


def test_a_complete_table_without_the_bandwidth_gets_it(profiled, tmp_path, monkeypatch):
    table = LatencyTable(fingerprint=current_fingerprint("cpu", num_threads=1))
    for request in rows_of(1):
        table.add(LatencyRow(key=request.key, median_us=5.0, p20_us=4.0, p80_us=6.0, samples=30, backend="torch"))
    table.save(tmp_path / "table.parquet")
    monkeypatch.setattr("latency.bandwidth.read_bytes_per_second", lambda *_args, **_kwargs: 3e9)
    profiled()
    found = LatencyTable.load(tmp_path / "table.parquet")
    assert found.read_bytes_per_second == 3e9
    assert found.frame.equals(table.frame)


def test_a_complete_table_of_another_device_is_refused(profiled, tmp_path):
    other = replace(current_fingerprint("cpu", num_threads=1), device_name="Model 9000")
    table = LatencyTable(fingerprint=other, metadata={"read_bytes_per_second": 1e9})
    for request in rows_of(1):
        table.add(LatencyRow(key=request.key, median_us=5.0, p20_us=4.0, p80_us=6.0, samples=30, backend="torch"))
    table.save(tmp_path / "table.parquet")
    with pytest.raises(DeviceMismatchError, match="device_name"):
        profiled()


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "tpu"])
def test_a_device_there_is_no_such_thing_as_is_named(device):
    with pytest.raises(UnavailableError, match=f"The device must be cpu or cuda; got '{device}'"):
        current_fingerprint(device, num_threads=1)
