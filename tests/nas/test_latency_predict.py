import json

import pytest
from typer.testing import CliRunner

from latency.device import DeviceFingerprint
from latency.memory import inference_memory, largest_batch
from latency.plan import requests_for_architecture
from latency.rows import LatencyRow
from latency.table import READ_BYTES_PER_SECOND, LatencyTable
from latency.workload import Workload
from nas.cli.latency.options import generated_or_default
from nas.cli.main import app
from search_spaces import SpecError, architecture_from_pattern

SIZES = ["--hidden-size", "64", "--vocab-size", "256"]
TOKENS = ["--phase", "both", "--prompt-tokens", "32", "--generated-tokens", "16"]


def memory_for(batch_size):
    return inference_memory(
        architecture_from_pattern("d f a f", hidden_size=64, vocab_size=256),
        max_tokens=48,
        prompt_tokens=32,
        dtype="float32",
        batch_size=batch_size,
        device="cpu",
    ).total


@pytest.fixture
def predicted(tmp_path):
    def run(*arguments, memory_bytes, batches=(1,), bandwidth=None):
        fingerprint = DeviceFingerprint(device_name="Model 9000", kind="cpu", memory_bytes=memory_bytes, num_threads=1)
        table = LatencyTable(fingerprint=fingerprint)
        if bandwidth is not None:
            table.metadata[READ_BYTES_PER_SECOND] = bandwidth
        architecture = architecture_from_pattern("d f a f", hidden_size=64, vocab_size=256)
        for batch_size in batches:
            workload = Workload(phase="both", batch_size=batch_size, prompt_tokens=32, generated_tokens=16)
            for request in requests_for_architecture(architecture, workload=workload):
                row = LatencyRow(key=request.key, median_us=5.0, p20_us=4.0, p80_us=6.0, samples=30, backend="torch")
                table.add(row)
        table.save(tmp_path / "table.parquet")
        command = ["latency", "predict", "d f a f", *SIZES, "--table", str(tmp_path / "table.parquet"), *TOKENS]
        result = CliRunner().invoke(app, [*command, *arguments])
        assert result.exception is None or isinstance(result.exception, SpecError), result.output
        return result

    return run


def test_memory_is_told_part_by_part_with_the_largest_batch(predicted):
    architecture = architecture_from_pattern("d f a f", hidden_size=64, vocab_size=256)
    most = largest_batch(
        architecture, max_tokens=48, dtype="float32", memory_bytes=2**30, prompt_tokens=32, device="cpu"
    )
    output = predicted(memory_bytes=2**30).stdout
    for name in ("weights", "kv cache", "recurrent state", "activations", "total"):
        assert f"\n{name} " in output
    assert f"Largest batch in 1.0 GiB: {most}" in output
    content = json.loads(predicted("--json", memory_bytes=2**30).stdout)
    assert content["largest_batch"] == most
    parts = content["memory_bytes"]
    assert parts.pop("total") == sum(parts.values())


def test_a_device_that_is_too_small_is_told_what_is_missing(predicted):
    refused = str(predicted(memory_bytes=2**10).exception)
    assert refused.startswith("One sequence of 48 tokens in float32 takes")
    assert refused.endswith("--insist.")
    result = predicted("--insist", memory_bytes=2**10)
    assert result.stderr.startswith("warning: One sequence of 48 tokens in float32 takes")
    assert "tokens/s" in result.stdout
    assert "Largest batch" not in result.stdout


def test_a_batch_that_does_not_fit_is_refused_unless_insisted_on(predicted):
    refused = predicted("--batch-size", "8", memory_bytes=memory_for(5), batches=(8,))
    assert str(refused.exception).startswith("A workload must fit into the memory of its device")
    assert "The largest batch that fits is 5; ask for that" in str(refused.exception)
    assert not refused.stdout
    insisted = predicted("--insist", "--batch-size", "8", memory_bytes=memory_for(5), batches=(8,))
    assert "prefill 32 + decode 16, batch 8, float32 on Model 9000" in insisted.stdout


def test_the_floor_of_memory_is_told_with_how_far_above_it_the_prediction_is(predicted):
    content = json.loads(predicted("--json", memory_bytes=2**30, bandwidth=2e9).stdout)
    line = predicted(memory_bytes=2**30, bandwidth=2e9).stdout.splitlines()[3]
    floor_ms, decode_ms = content["floor_ms"], content["decode_ms"]
    assert line == (
        f"Reading weights, caches and states at 2.0 GB/s takes {floor_ms:.2f} ms; "
        f"decoding is predicted at {decode_ms / floor_ms:.2f} times that"
    )


def test_a_table_without_the_bandwidth_says_what_adds_it(predicted):
    assert "No memory floor: " in predicted(memory_bytes=2**30).stdout
    assert json.loads(predicted("--json", memory_bytes=2**30).stdout)["floor_ms"] is None


def test_a_table_of_several_batches_tells_the_throughput_at_the_largest_that_fits(predicted):
    found = json.loads(predicted("--json", memory_bytes=memory_for(5), batches=(1, 8)).stdout)["at_largest_batch"]
    assert found["batch_size"] == 5
    assert found["tokens_per_second"] == pytest.approx(5 * 16 / found["milliseconds"] * 1000)
    output = predicted(memory_bytes=memory_for(5), batches=(1, 8)).stdout
    assert f": 5, {found['tokens_per_second']:.1f} tokens/s ({found['milliseconds']:.2f} ms)" in output


def test_a_largest_batch_beyond_those_measured_says_how_to_measure_it(predicted):
    result = predicted("--json", memory_bytes=memory_for(20), batches=(1, 8))
    assert json.loads(result.stdout)["at_largest_batch"] is None
    assert "Measure batch 20 with: nas latency profile" in result.stderr
    assert "--batch-size 20" in result.stderr
    assert result.stderr.rstrip().endswith("table.parquet")


@pytest.mark.parametrize(("asked", "phase", "tokens"), [(None, "prefill", 0), (None, "both", 1024), (7, "decode", 7)])
def test_a_prefill_generates_nothing_unless_told_otherwise(asked, phase, tokens):
    assert generated_or_default(asked, phase=phase) == tokens
