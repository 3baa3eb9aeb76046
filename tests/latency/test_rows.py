import json
from dataclasses import replace

import pytest

from latency.device import DeviceFingerprint
from latency.rows import (
    OPERATOR_PART,
    LatencyRow,
    RowKey,
    meta_tokens_that_matter,
    most_context,
    operator_key,
    operator_name,
)
from latency.samples import Samples
from latency.table import LatencyTable
from latency.workload import Phase
from operators.kernel_revision import KERNEL_REVISION
from search_spaces import AttentionSpec, Dimensions, HybridHeadSpec, Mamba2Spec

ATTENTION = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=32)


def test_the_key_of_an_operator_leaves_out_defaults_and_sorts() -> None:
    assert operator_key(ATTENTION) == '{"head_dim":32,"kind":"attention","num_heads":4,"num_kv_heads":2}'


def test_which_operator_keys_are_shared_with_does_not_change_the_key_but_that_they_are_does() -> None:
    first, second = (replace(ATTENTION, shares_kv_with=index) for index in (0, 4))
    assert operator_key(first) == operator_key(second)
    assert operator_key(first) != operator_key(ATTENTION)


def test_sharing_inside_a_hybrid_head_is_a_flag_too() -> None:
    ssm = Mamba2Spec(num_heads=4, head_dim=32, state_size=16)
    keys = {
        operator_key(HybridHeadSpec(attention=replace(ATTENTION, shares_kv_with=index), ssm=ssm)) for index in (0, 4)
    }
    assert len(keys) == 1
    assert json.loads(keys.pop())["attention"]["shares_kv_with"] is True


def test_every_letter_has_a_name_of_its_own() -> None:
    dimensions = Dimensions()
    names = [
        operator_name(dimensions.operator(letter, hidden_size=256)) for letter in ("a", "w", "m1", "m2", "d", "hh", "f")
    ]
    assert names == ["attention", "sliding_window_attention", "mamba1", "mamba2", "deltanet", "hybrid_head", "ffn"]


@pytest.mark.parametrize(
    ("window", "phase", "expected"),
    [(64, "prefill", 16), (64, "decode", 16), (None, "prefill", 16), (None, "decode", 0)],
)
def test_meta_tokens_matter_to_prompts_and_to_windows(window: int | None, phase: Phase, expected: int) -> None:
    attention = replace(ATTENTION, window=window)
    mamba2 = Mamba2Spec(num_heads=4, head_dim=32, state_size=16)
    for spec in (attention, HybridHeadSpec(attention=attention, ssm=mamba2)):
        assert meta_tokens_that_matter(spec, phase=phase, num_meta_tokens=16) == expected
    assert meta_tokens_that_matter(mamba2, phase=phase, num_meta_tokens=16) == 0


def test_a_step_stops_growing_where_its_cache_does() -> None:
    assert most_context(ATTENTION) is None
    assert most_context(replace(ATTENTION, window=64)) == 64
    assert most_context(replace(ATTENTION, window=64), num_meta_tokens=16) == 80
    assert most_context(Mamba2Spec(num_heads=4, head_dim=32, state_size=16)) == 0


def test_a_key_describes_itself_by_name_width_phase_and_context() -> None:
    key = RowKey(
        part=OPERATOR_PART,
        operator=operator_key(replace(ATTENTION, window=64, shares_kv_with=3)),
        hidden_size=256,
        phase="decode",
        batch_size=1,
        context_tokens=64,
        dtype="float32",
    )
    assert key.describe() == "sliding_window_attention, width 256, decode at 64 tokens, batch 1, float32"
    behind = replace(key, num_meta_tokens=16).describe()
    assert behind == "sliding_window_attention, width 256, decode at 64 tokens behind 16 meta tokens, batch 1, float32"
    fixed = replace(key, part="head", operator="", context_tokens=0)
    assert fixed.describe() == "head, width 256, decode, batch 1, float32"


def test_a_sweep_that_failed_takes_nothing_from_the_one_before() -> None:
    key = RowKey(part="head", hidden_size=8, phase="decode", batch_size=1, context_tokens=0, dtype="float32")
    first = Samples(key=key, microseconds=(1.0, 2.0), backend="triton")
    row = first.joined(Samples(key=key, failure="RuntimeError: no")).row()
    assert (row.backend, row.kernel_revision, row.failure) == ("triton", KERNEL_REVISION, "")


def test_a_row_of_other_kernels_counts_only_where_that_is_accepted() -> None:
    key = RowKey(part="head", hidden_size=8, phase="decode", batch_size=1, context_tokens=0, dtype="float32")
    old = LatencyRow(
        key=key, median_us=1.0, p20_us=1.0, p80_us=1.0, samples=3, backend="triton", kernel_revision="another"
    )
    fingerprint = DeviceFingerprint(device_name="a", kind="cuda", memory_bytes=1, num_threads=1)
    table = LatencyTable(fingerprint=fingerprint, rows=[old])
    assert not table.lookup.knows(key)
    insisting = LatencyTable(fingerprint=fingerprint, rows=[old])
    insisting.accepts_outdated = True
    assert insisting.lookup.knows(key)
