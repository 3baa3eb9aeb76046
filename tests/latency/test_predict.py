import json
import pickle
from dataclasses import replace

import pytest

from latency.lookup import UnmeasuredError
from latency.predict import predict, profile_command
from latency.rows import FIXED_PARTS, operator_name
from latency.table import READ_BYTES_PER_SECOND, LatencyTable
from latency.workload import Workload
from operators.traffic import decode_bytes
from search_spaces import Architecture, FFNSpec, FlaSpec, architecture_from_pattern

PREFILL_US = {
    "attention": 100.0,
    "sliding_window_attention": 80.0,
    "mamba2": 300.0,
    "deltanet": 200.0,
    "ffn": 50.0,
}


def time_us(request) -> float:
    """Prefill by name; a decode step 10 µs and for attention 0.5 µs a cached token; every fixed part 2 µs."""
    if request.spec is None:
        return 2.0
    if request.phase == "prefill":
        return PREFILL_US[operator_name(request.spec)]
    return 10.0 + 0.5 * request.context_tokens


@pytest.fixture
def table(hybrid, workload, make_table) -> LatencyTable:
    return make_table(hybrid, workload, time_us)


def test_a_prefill_is_the_sum_of_its_operators_and_fixed_parts(hybrid, table) -> None:
    prediction = predict(hybrid, Workload(phase="prefill", prompt_tokens=32), table)
    assert prediction.by_operator == pytest.approx(
        {
            "attention": 0.1,
            "ffn": 0.2,
            "deltanet": 0.2,
            "sliding_window_attention": 0.08,
            "mamba2": 0.3,
            "fixed": 0.002 * len(FIXED_PARTS),
        }
    )
    assert prediction.milliseconds == pytest.approx(0.88 + 0.002 * len(FIXED_PARTS))
    assert prediction.decode_ms == 0
    assert prediction.tokens_per_second == pytest.approx(32_000 / prediction.milliseconds)


def test_decoding_adds_up_one_step_a_token_at_its_own_context(hybrid, workload, table) -> None:
    prediction = predict(hybrid, replace(workload, phase="decode"), table)
    growing_us = sum(10.0 + 0.5 * context for context in range(32, 48))
    assert prediction.by_operator["attention"] == pytest.approx(growing_us / 1000)
    assert prediction.by_operator["sliding_window_attention"] == pytest.approx(growing_us / 1000)
    assert prediction.by_operator["ffn"] == pytest.approx(4 * 16 * 0.01)
    assert prediction.by_operator["fixed"] == pytest.approx(16 * 0.002 * len(FIXED_PARTS))
    assert prediction.prefill_ms == 0
    assert prediction.tokens_per_second == pytest.approx(16 / prediction.milliseconds * 1000)


def test_both_phases_are_their_sum_and_the_breakdown_sums_to_the_whole(hybrid, workload, table) -> None:
    whole = predict(hybrid, workload, table)
    decode = predict(hybrid, replace(workload, phase="decode"), table)
    prefill = predict(hybrid, Workload(phase="prefill", prompt_tokens=32), table)
    assert whole.milliseconds == pytest.approx(prefill.milliseconds + decode.milliseconds)
    assert sum(whole.by_operator.values()) == pytest.approx(whole.milliseconds)
    assert whole.interval_ms is None


def test_throughput_counts_the_whole_batch(hybrid, workload, make_table) -> None:
    batched = replace(workload, batch_size=8)
    table = make_table(hybrid, batched, time_us)
    prediction = predict(hybrid, batched, table)
    assert prediction.tokens_per_second == pytest.approx(8 * 16 / prediction.milliseconds * 1000)


def test_meta_tokens_lengthen_the_context(workload, make_table) -> None:
    plain = architecture_from_pattern("a f", hidden_size=128, vocab_size=256)
    with_meta = replace(plain, num_meta_tokens=8)
    table = make_table(with_meta, workload, time_us)
    table.merge(make_table(plain, workload, time_us))
    decode = replace(workload, phase="decode")
    more = predict(with_meta, decode, table).milliseconds - predict(plain, decode, table).milliseconds
    assert more == pytest.approx(16 * 8 * 0.5 / 1000)


def test_a_window_full_of_tokens_costs_no_more(make_table) -> None:
    workload = Workload(phase="decode", prompt_tokens=500, generated_tokens=100)
    architecture = architecture_from_pattern("w", hidden_size=128, vocab_size=256)
    prediction = predict(architecture, workload, make_table(architecture, workload, time_us))
    window_us = sum(10.0 + 0.5 * min(context, 512) for context in range(500, 600))
    assert prediction.by_operator["sliding_window_attention"] == pytest.approx(window_us / 1000)


def test_repeating_an_operator_multiplies_it(workload, make_table) -> None:
    once, thrice = (architecture_from_pattern(f"(d f)x{n}", hidden_size=128, vocab_size=256) for n in (1, 3))
    table = make_table(once, workload, time_us)
    assert predict(thrice, workload, table).by_operator["deltanet"] == pytest.approx(
        3 * predict(once, workload, table).by_operator["deltanet"]
    )


def test_a_prediction_travels(hybrid, workload, table) -> None:
    prediction = predict(hybrid, workload, table)
    assert pickle.loads(pickle.dumps(prediction)) == prediction
    assert json.loads(json.dumps(prediction.to_dict()))["milliseconds"] == prediction.milliseconds


def test_the_floor_is_what_decoding_moves_at_the_devices_bandwidth(hybrid, workload, table) -> None:
    table.metadata[READ_BYTES_PER_SECOND] = 4e9
    moved = decode_bytes(hybrid, batch_size=1, first_context=32, num_steps=16, dtype_bytes=4)
    prediction = predict(hybrid, workload, table)
    assert prediction.floor_ms == pytest.approx(1000 * moved / 4e9)
    assert prediction.to_dict()["floor_ms"] == prediction.floor_ms
    assert prediction.times_above_floor == pytest.approx(prediction.decode_ms / prediction.floor_ms)
    assert prediction.prefill_ms > 0


def test_half_precision_halves_what_weights_take_to_read(make_table) -> None:
    ffn = architecture_from_pattern("f", hidden_size=128, vocab_size=256)
    floors = []
    for dtype in ("float32", "bfloat16"):
        workload = Workload(phase="decode", generated_tokens=4, dtype=dtype)
        table = make_table(ffn, workload, time_us)
        table.metadata[READ_BYTES_PER_SECOND] = 1e9
        floors.append(predict(ffn, workload, table).floor_ms)
    assert floors[0] == pytest.approx(2 * floors[1])


def test_there_is_no_floor_without_decoding_or_without_the_bandwidth(hybrid, workload, table) -> None:
    prediction = predict(hybrid, workload, table)
    assert prediction.floor_ms is None
    assert prediction.times_above_floor is None
    table.metadata[READ_BYTES_PER_SECOND] = 4e9
    assert predict(hybrid, Workload(phase="prefill", prompt_tokens=32), table).floor_ms is None


def test_there_is_no_floor_for_a_layer_whose_traffic_is_unknown(make_table) -> None:
    bridged = Architecture(hidden_size=128, operators=(FlaSpec(layer="kda"),), vocab_size=256)
    workload = Workload(phase="decode", generated_tokens=4)
    table = make_table(bridged, workload, time_us)
    table.metadata[READ_BYTES_PER_SECOND] = 4e9
    assert predict(bridged, workload, table).floor_ms is None


def test_the_command_names_the_file_of_the_table_and_no_threads_on_a_gpu(workload, table, tmp_path) -> None:
    wider = architecture_from_pattern("a f", hidden_size=192, vocab_size=256)
    table.save(tmp_path / "table.parquet")
    loaded = LatencyTable.load(tmp_path / "table.parquet")
    assert profile_command(wider, workload, loaded).endswith(
        f"--device cpu --num-threads 2 --table {tmp_path}/table.parquet"
    )
    on_gpu = LatencyTable(fingerprint=replace(table.fingerprint, kind="cuda"))
    assert profile_command(wider, workload, on_gpu).endswith("--dtype float32 --device cuda")


def test_what_is_unmeasured_is_named_with_the_command_that_measures_it(workload, table) -> None:
    wider = architecture_from_pattern("(a f)x2", hidden_size=192, vocab_size=256)
    with pytest.raises(UnmeasuredError) as caught:
        predict(wider, workload, table)
    message = str(caught.value)
    assert "table of Model 9000" in message
    assert "attention, width 192, prefill at 32 tokens, batch 1, float32" in message
    assert message.endswith(
        "nas latency profile --arch '(a f)x2' --hidden-size 192 --vocab-size 256 --phase both --batch-size 1 "
        "--prompt-tokens 32 --generated-tokens 16 --dtype float32 --device cpu --num-threads 2"
    )
    assert caught.value.exit_code == 4


def test_dimensions_no_pattern_says_need_a_spec_file(workload, table) -> None:
    odd = Architecture(hidden_size=128, operators=(FFNSpec(intermediate_size=100),), vocab_size=256)
    with pytest.raises(UnmeasuredError, match=r"nas latency profile --arch ARCHITECTURE.yaml --phase both"):
        predict(odd, workload, table)


def test_an_operator_that_could_not_be_measured_says_why(hybrid, workload, table) -> None:
    row = next(row for row in table if "ffn" in row.key.operator and row.key.phase == "decode")
    table.add(replace(row, median_us=float("nan"), samples=0, failure="out of memory at 3 GB"))
    with pytest.raises(UnmeasuredError, match="Measuring failed before: out of memory at 3 GB"):
        predict(hybrid, workload, table)


def test_a_longer_generation_than_measured_is_not_extrapolated(hybrid, workload, table) -> None:
    with pytest.raises(UnmeasuredError, match="context 95 lies outside the measured 32 to 48"):
        predict(hybrid, replace(workload, generated_tokens=64), table)
