from dataclasses import replace

from latency.plan import missing, requests_for, requests_for_architecture
from latency.rows import FIXED_PARTS
from latency.workload import Workload
from search_spaces import AttentionSpec, FFNSpec, Mamba2Spec

ATTENTION = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=32)
WINDOWED = replace(ATTENTION, window=48)
FFN = FFNSpec(intermediate_size=128)
MAMBA2 = Mamba2Spec(num_heads=2, head_dim=32, state_size=16)
BOTH = Workload(phase="both", batch_size=2, prompt_tokens=32, generated_tokens=32)


def asked(operators, workload=BOTH, num_meta_tokens=0) -> list[tuple[str, int]]:
    requests = requests_for(operators, fixed=[], workload=workload, num_meta_tokens=num_meta_tokens)
    return [(request.phase, request.context_tokens) for request in requests]


def test_attention_is_timed_over_its_whole_prompt_and_at_several_contexts() -> None:
    assert asked([(64, ATTENTION)]) == [("prefill", 32), ("decode", 32), ("decode", 64)]


def test_an_operator_of_fixed_state_needs_one_decode_row() -> None:
    assert asked([(64, FFN)]) == [("prefill", 32), ("decode", 0)]
    assert asked([(64, MAMBA2)]) == [("prefill", 32), ("decode", 0)]


def test_a_window_is_timed_up_to_its_width_only() -> None:
    assert asked([(64, WINDOWED)]) == [("prefill", 32), ("decode", 32), ("decode", 48)]


def test_meta_tokens_count_as_context_of_a_step_but_are_there_before_the_prompt() -> None:
    assert asked([(64, ATTENTION)], num_meta_tokens=8) == [("prefill", 32), ("decode", 40), ("decode", 72)]
    assert asked([(64, WINDOWED)], num_meta_tokens=8) == [("prefill", 32), ("decode", 40), ("decode", 56)]


def test_a_row_says_how_many_meta_tokens_it_was_timed_with_where_they_matter() -> None:
    operators = [(64, spec) for spec in (ATTENTION, WINDOWED, MAMBA2)]
    requests = requests_for(operators, fixed=[(64, 256)], workload=BOTH, num_meta_tokens=8)
    found = {(request.spec, request.phase): request.key.num_meta_tokens for request in requests}
    assert found == {
        (ATTENTION, "prefill"): 8,
        (ATTENTION, "decode"): 0,
        (WINDOWED, "prefill"): 8,
        (WINDOWED, "decode"): 8,
        (MAMBA2, "prefill"): 0,
        (MAMBA2, "decode"): 0,
        (None, "prefill"): 0,
        (None, "decode"): 0,
    }


def test_only_the_phase_that_counts_is_measured() -> None:
    assert asked([(64, ATTENTION)], replace(BOTH, phase="decode")) == [("decode", 32), ("decode", 64)]
    assert asked([(64, ATTENTION)], Workload(phase="prefill", prompt_tokens=32)) == [("prefill", 32)]


def test_equal_rows_are_asked_for_once() -> None:
    shared = [replace(ATTENTION, shares_kv_with=index) for index in (0, 2)]
    assert len(asked([(64, FFN), (64, FFN)])) == 2
    assert len(asked([(64, spec) for spec in shared])) == 3
    assert len(asked([(64, FFN), (96, FFN)])) == 4


def test_the_fixed_parts_are_asked_for_by_width_and_vocabulary() -> None:
    requests = requests_for([], fixed=[(64, 256), (64, 256), (96, 256)], workload=BOTH)
    assert len(requests) == 2 * 2 * len(FIXED_PARTS)
    assert {request.key.batch_size for request in requests} == {2}


def test_a_full_table_lacks_nothing_and_a_failed_row_is_asked_again(hybrid, workload, make_table) -> None:
    requests = requests_for_architecture(hybrid, workload=workload)
    table = make_table(hybrid, workload, lambda _: 1.0)
    assert missing(requests, None) == requests
    assert missing(requests, table) == []
    longer = requests_for_architecture(hybrid, workload=replace(workload, generated_tokens=32))
    assert {request.context_tokens for request in missing(longer, table)} == {64}
    failed = replace(next(iter(table)), failure="out of memory")
    table.add(failed)
    assert [request.key for request in missing(requests, table)] == [failed.key]
