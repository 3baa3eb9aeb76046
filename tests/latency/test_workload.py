import pytest

from latency.workload import MAX_DECODE_POINTS, Workload
from search_spaces.errors import SpecError


def test_a_workload_survives_its_mapping() -> None:
    workload = Workload(phase="both", batch_size=4, prompt_tokens=512, generated_tokens=64, dtype="bfloat16")
    assert Workload.from_dict(workload.to_dict()) == workload


@pytest.mark.parametrize(
    ("phase", "prompt", "generated", "words"),
    [
        ("both", 512, 64, "prefill 512 + decode 64, batch 1, float32"),
        ("prefill", 512, 0, "prefill 512, batch 1, float32"),
        ("decode", 128, 64, "decode 64 after 128, batch 1, float32"),
    ],
)
def test_a_workload_describes_itself_in_short_words(phase, prompt, generated, words) -> None:
    assert Workload(phase=phase, prompt_tokens=prompt, generated_tokens=generated).describe() == words


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"phase": "prefil", "prompt_tokens": 8}, "Did you mean 'prefill'"),
        ({"phase": "prefill"}, "prompt_tokens of at least 1; got 0"),
        ({"phase": "decode", "prompt_tokens": 8}, "generated_tokens of at least 1; got 0"),
        ({"phase": "prefill", "prompt_tokens": 8, "generated_tokens": 8}, "or phase to both"),
        ({"phase": "prefill", "prompt_tokens": 8, "batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"phase": "prefill", "prompt_tokens": 8.0}, "prompt_tokens must be an integer"),
        ({"phase": "prefill", "prompt_tokens": 8, "dtype": "bf16"}, "dtype is unknown: 'bf16'"),
    ],
)
def test_a_workload_that_means_nothing_is_refused(settings, said) -> None:
    with pytest.raises(SpecError, match=said):
        Workload(**settings)


def test_an_unknown_key_names_the_near_miss() -> None:
    with pytest.raises(SpecError, match="Did you mean 'batch_size'"):
        Workload.from_dict({"phase": "prefill", "prompt_tokens": 8, "batchsize": 2})


@pytest.mark.parametrize(("prompt", "generated"), [(0, 1), (512, 64), (512, 8192), (0, 8192), (1, 3)])
def test_decode_contexts_ascend_from_the_prompt_to_the_last_token(prompt, generated) -> None:
    contexts = Workload(phase="decode", prompt_tokens=prompt, generated_tokens=generated).contexts(num_meta_tokens=7)
    assert contexts[0] == prompt + 7
    assert contexts[-1] == prompt + 7 + generated
    assert list(contexts) == sorted(set(contexts))
    assert len(contexts) <= MAX_DECODE_POINTS


def test_a_cache_that_barely_grows_needs_two_points_and_one_that_grows_much_needs_more() -> None:
    assert Workload(phase="decode", prompt_tokens=512, generated_tokens=64).contexts() == (512, 576)
    assert Workload(phase="decode", prompt_tokens=512, generated_tokens=7680).contexts() == (
        512,
        1024,
        2048,
        4096,
        8192,
    )


def test_only_a_workload_with_a_prompt_phase_needs_prefill_times() -> None:
    assert Workload(phase="prefill", prompt_tokens=100).prefill_lengths == (100,)
    assert Workload(phase="decode", prompt_tokens=100, generated_tokens=1).prefill_lengths == ()
