import json

import pytest
from typer.testing import CliRunner

from latency.device import DeviceFingerprint
from latency.memory import largest_batch
from latency.plan import requests_for_architecture
from latency.rows import LatencyRow
from latency.table import LatencyTable
from latency.workload import Workload
from nas.cli.main import app
from search_spaces import architecture_from_pattern

SIZES = ["--hidden-size", "64", "--vocab-size", "256"]
TOKENS = ["--phase", "both", "--prompt-tokens", "32", "--generated-tokens", "16"]


@pytest.fixture
def predicted(tmp_path):
    def run(*arguments, memory_bytes):
        workload = Workload(phase="both", prompt_tokens=32, generated_tokens=16)
        fingerprint = DeviceFingerprint(device_name="Model 9000", kind="cpu", memory_bytes=memory_bytes, num_threads=1)
        table = LatencyTable(fingerprint=fingerprint)
        architecture = architecture_from_pattern("d f a f", hidden_size=64, vocab_size=256)
        for request in requests_for_architecture(architecture, workload=workload):
            row = LatencyRow(key=request.key, median_us=5.0, p20_us=4.0, p80_us=6.0, samples=30, backend="torch")
            table.add(row)
        table.save(tmp_path / "table.parquet")
        command = ["latency", "predict", "d f a f", *SIZES, "--table", str(tmp_path / "table.parquet"), *TOKENS]
        result = CliRunner().invoke(app, [*command, *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_memory_is_told_part_by_part_with_the_largest_batch(predicted):
    architecture = architecture_from_pattern("d f a f", hidden_size=64, vocab_size=256)
    most = largest_batch(
        architecture, max_tokens=48, dtype="float32", memory_bytes=2**30, prompt_tokens=32, device="cpu"
    )
    output = predicted(memory_bytes=2**30)
    for name in ("weights", "kv cache", "recurrent state", "activations", "total"):
        assert f"\n{name} " in output
    assert f"Largest batch in 1.0 GiB: {most}" in output
    content = json.loads(predicted("--json", memory_bytes=2**30))
    assert content["largest_batch"] == most
    parts = content["memory_bytes"]
    assert parts.pop("total") == sum(parts.values())


def test_a_device_that_is_too_small_is_told_what_is_missing(predicted):
    output = predicted(memory_bytes=2**10)
    assert "One sequence of 48 tokens in float32 takes" in output
    assert "Largest batch" not in output
