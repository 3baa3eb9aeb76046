import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from latency.cpu_mix import MOST_SPECS, mixes
from latency.device import DeviceMismatchError
from latency.device_probe import current_fingerprint
from latency.measure import profile
from latency.plan import MeasurementRequest, missing, requests_for, requests_for_architecture
from latency.predict import predict
from latency.rows import FIXED_PARTS
from latency.table import LatencyTable
from latency.workload import Workload
from search_spaces import Architecture, AttentionSpec, FFNSpec, architecture_from_pattern

WORKLOAD = Workload(phase="both", batch_size=2, prompt_tokens=9, generated_tokens=6)
QUICK = {"device": "cpu", "num_threads": 1, "seconds_per_set": 0.0, "num_sweeps": 1}
"""As few samples as there may be."""


@pytest.fixture(scope="module")
def tiny() -> Architecture:
    return architecture_from_pattern("a f d f w f m2 f", hidden_size=64, vocab_size=50)


@pytest.fixture(scope="module")
def requests(tiny) -> list[MeasurementRequest]:
    return requests_for_architecture(tiny, workload=WORKLOAD)


@pytest.fixture(scope="module")
def table(requests) -> LatencyTable:
    return profile(requests, **QUICK)


def test_every_request_becomes_one_measured_row(table, requests) -> None:
    assert {row.key for row in table} == {request.key for request in requests}
    assert table.failed == []


def test_times_are_positive_and_ordered(table) -> None:
    for row in table:
        assert row.p20_us <= row.median_us <= row.p80_us
        assert row.samples >= 5
        if row.key.part == "overhead":
            assert row.p20_us >= 0
        else:
            assert row.p20_us > 0


def test_a_row_says_which_implementation_ran(table) -> None:
    assert {row.backend for row in table if row.key.part in FIXED_PARTS} == {"torch"}
    assert all(row.backend for row in table)
    assert any(row.backend == "sdpa" for row in table if '"attention"' in row.key.operator)


def test_a_measured_table_prices_the_model_it_was_measured_for(table, tiny) -> None:
    prediction = predict(tiny, WORKLOAD, table)
    assert prediction.milliseconds > 0
    assert set(prediction.by_operator) == {
        "attention",
        "ffn",
        "deltanet",
        "sliding_window_attention",
        "mamba2",
        "fixed",
    }


def test_the_table_is_of_this_device(table) -> None:
    assert table.fingerprint.matches(current_fingerprint("cpu", num_threads=1))


def test_what_the_table_holds_is_not_measured_again(table, tiny) -> None:
    longer = requests_for_architecture(tiny, workload=replace(WORKLOAD, generated_tokens=12))
    new = [request.key for request in missing(longer, table)]
    assert 0 < len(new) < len(longer)
    before = {row.key: row for row in table}
    grown = LatencyTable(fingerprint=table.fingerprint, rows=table)
    seen = []
    profile(longer, **QUICK, table=grown, report=lambda _done, _total, row: seen.append(row.key))
    assert seen == new
    assert all(grown.get(key) is row for key, row in before.items())


def test_an_interrupted_profile_keeps_every_finished_row(requests) -> None:
    table = LatencyTable(fingerprint=current_fingerprint("cpu", num_threads=1))

    def interrupt(done: int, _total: int, _row: object) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        profile(requests, **QUICK, table=table, report=interrupt)
    # All of a mix are finished at once, and in the table before the first of them is reported.
    assert len(table) == len(requests)
    assert missing(requests, table) == []


def test_fixed_parts_can_be_measured_one_at_a_time(requests) -> None:
    for part in FIXED_PARTS:
        table = profile([request for request in requests if request.part == part], **QUICK)
        assert [row.key.part for row in table.measured] == [part, part]


def test_later_sweeps_add_samples_to_the_same_rows() -> None:
    requests = requests_for([(64, FFNSpec(intermediate_size=32))], fixed=[], workload=WORKLOAD)
    progress = []
    table = profile(
        requests, **{**QUICK, "num_sweeps": 2}, report=lambda done, total, row: progress.append((done, total, row))
    )
    assert [(done, total) for done, total, _ in progress] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    first, last = (row for _, _, row in progress if row.key == requests[0].key)
    assert last.samples == 2 * first.samples
    assert table.get(requests[0].key) == last


def test_an_operator_that_fails_is_recorded_and_the_rest_goes_on() -> None:
    too_large = FFNSpec(intermediate_size=2**50)
    fine = FFNSpec(intermediate_size=32)
    requests = requests_for([(64, too_large), (64, fine)], fixed=[(64, 50)], workload=WORKLOAD)
    table = profile(requests, **QUICK)
    assert len(table.failed) == 2
    for row in table.failed:
        assert str(2**50) in row.key.operator
        assert row.failure.startswith("RuntimeError: ")
        assert math.isnan(row.median_us)
        assert row.samples == 0
    assert len(table.measured) == len(requests) - 2


def test_an_operator_that_reads_anothers_keys_is_timed_without_the_other() -> None:
    own = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=32)
    sharing = replace(own, shares_kv_with=5)
    table = profile(requests_for([(64, own), (64, sharing)], fixed=[], workload=WORKLOAD), **QUICK)
    assert table.failed == []
    assert len({row.key.operator for row in table}) == 2


def test_a_decode_that_starts_without_a_prompt_can_be_measured(tiny) -> None:
    workload = Workload(phase="decode", generated_tokens=3, dtype="bfloat16")
    table = profile(requests_for_architecture(tiny, workload=workload), **QUICK)
    assert table.failed == []
    assert predict(tiny, workload, table).prefill_ms == 0


def test_rows_of_another_device_are_not_mixed_in(table, requests) -> None:
    other = LatencyTable(fingerprint=replace(table.fingerprint, torch="2.8.0"))
    with pytest.raises(DeviceMismatchError, match=r"torch \(table 2.8.0, here .*\)\. Measure into a new table"):
        profile(requests, **QUICK, table=other)


def test_the_number_of_threads_is_restored(requests) -> None:
    before = torch.get_num_threads()
    profile(requests[:1], **{**QUICK, "num_threads": 2})
    assert torch.get_num_threads() == before


def test_operators_of_one_model_are_timed_in_one_mix() -> None:
    specs = [(width, FFNSpec(intermediate_size=32 * n)) for width in (64, 96) for n in range(1, MOST_SPECS + 3)]
    requests = requests_for(specs, fixed=[(64, 50)], workload=WORKLOAD)
    groups = mixes(requests)
    assert sorted(request.key.operator for group in groups for request in group) == sorted(
        request.key.operator for request in requests
    )
    for group in groups:
        assert len({(request.hidden_size, request.dtype) for request in group}) == 1
        assert len({request.spec for request in group if request.spec is not None}) <= MOST_SPECS


def test_tables_and_predictions_need_no_torch() -> None:
    modules = "latency.workload, latency.table, latency.predict, latency.plan, latency.device, latency.device_probe"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
