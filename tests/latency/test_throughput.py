from dataclasses import replace

import pytest

from latency.lookup import UnmeasuredError
from latency.memory import inference_memory, largest_batch_of, require_room
from latency.rows import FIXED_PARTS
from latency.table import LatencyTable
from latency.throughput import at_largest_batch, measured_batches
from latency.workload import Workload
from search_spaces import architecture_from_pattern
from search_spaces.errors import SpecError

SMALL = architecture_from_pattern("a f", hidden_size=128, vocab_size=256)
DECODE = Workload(phase="decode", prompt_tokens=32, generated_tokens=16)


def memory_for(batch_size: int) -> int:
    return inference_memory(
        SMALL, max_tokens=48, prompt_tokens=32, dtype="float32", batch_size=batch_size, device="cpu"
    ).total


@pytest.fixture
def table(make_table) -> LatencyTable:
    """Batches 2 and 8; every row takes 10 µs and 1 µs a sequence."""
    table = make_table(SMALL, replace(DECODE, batch_size=2), lambda request: 10.0 + request.batch_size)
    table.merge(make_table(SMALL, replace(DECODE, batch_size=8), lambda request: 10.0 + request.batch_size))
    return table


def test_the_largest_batch_that_fits_is_predicted_between_measured_batches(table) -> None:
    found = at_largest_batch(SMALL, DECODE, table, memory_bytes=memory_for(5))
    assert found.batch_size == 5
    rows = 2 + len(FIXED_PARTS)
    assert found.prediction.milliseconds == pytest.approx(16 * rows * (10 + 5) / 1000)
    assert found.prediction.tokens_per_second == pytest.approx(5 * 16 / found.prediction.milliseconds * 1000)
    assert found.to_dict() == {"batch_size": 5, **found.prediction.to_dict()}


@pytest.mark.parametrize("batch_size", [2, 8])
def test_a_measured_batch_is_taken_as_it_is(table, batch_size) -> None:
    found = at_largest_batch(SMALL, DECODE, table, memory_bytes=memory_for(batch_size))
    assert found.batch_size == batch_size


@pytest.mark.parametrize("batch_size", [1, 9])
def test_beyond_the_measured_batches_it_says_which_to_measure_and_how(table, batch_size, tmp_path) -> None:
    table.save(tmp_path / "of device.parquet")
    with pytest.raises(UnmeasuredError) as caught:
        at_largest_batch(SMALL, DECODE, table, memory_bytes=memory_for(batch_size))
    message = str(caught.value)
    assert f"the largest batch that fits into 0.0 GiB is {batch_size}" in message
    assert "holds batches 2, 8 in float32" in message
    assert message.endswith(
        f"Measure batch {batch_size} with: nas latency profile --arch 'a f' --hidden-size 128 --vocab-size 256 "
        f"--phase decode --batch-size {batch_size} --prompt-tokens 32 --generated-tokens 16 --dtype float32 "
        f"--device cpu --num-threads 2 --table '{tmp_path}/of device.parquet'"
    )


def test_the_memory_is_that_of_the_tables_device_unless_told(table) -> None:
    most = largest_batch_of(SMALL, DECODE, memory_bytes=table.fingerprint.memory_bytes, device="cpu")
    with pytest.raises(UnmeasuredError, match=f"fits into 16.0 GiB is {most},"):
        at_largest_batch(SMALL, DECODE, table)


def test_a_device_of_unknown_memory_needs_to_be_told(table) -> None:
    table.fingerprint = replace(table.fingerprint, memory_bytes=0)
    with pytest.raises(SpecError, match="memory_bytes of at least 1; got 0"):
        at_largest_batch(SMALL, DECODE, table)


def test_only_batches_of_the_phase_and_number_format_count(table, make_table) -> None:
    table.merge(make_table(SMALL, replace(DECODE, batch_size=32, dtype="bfloat16"), lambda _: 1.0))
    table.merge(make_table(SMALL, Workload(phase="prefill", batch_size=64, prompt_tokens=9), lambda _: 1.0))
    assert measured_batches(table, DECODE) == (2, 8)
    assert measured_batches(table, replace(DECODE, dtype="bfloat16")) == (32,)
    assert measured_batches(table, replace(DECODE, phase="both")) == (2, 8, 64)


def test_a_workload_that_does_not_fit_is_told_how_many_sequences_do() -> None:
    memory_bytes = memory_for(5)
    require_room(SMALL, replace(DECODE, batch_size=5), memory_bytes=memory_bytes, device="cpu")
    with pytest.raises(SpecError, match=r"fit into the memory of its device; .* batch 6, float32, takes") as caught:
        require_room(SMALL, replace(DECODE, batch_size=6), memory_bytes=memory_bytes, device="cpu")
    assert "The largest batch that fits is 5" in str(caught.value)
