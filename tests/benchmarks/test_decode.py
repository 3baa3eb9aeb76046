import pytest
import torch
from torch import Tensor

from benchmarks.decode import ON_CPU, ON_GPU, BatchRun, Size, at_largest_batch, benchmark, run_batch
from benchmarks.decode_checks import FLASH, QWEN, check_qwen3, check_tokens, prompt_of, small_models
from benchmarks.document import IncorrectError, Options
from benchmarks.published import SECONDS_FOR_8K, TOKENS_A_SECOND_AFTER_32K
from latency.memory import GIB, inference_memory
from latency.runtime import Decoder
from operators.model import HybridLM
from operators.traffic import decode_bytes
from search_spaces.architecture import Architecture
from search_spaces.references import load_reference, reference_names


def test_a_dry_run_reports_both_models_and_claims_nothing_of_a_cpu() -> None:
    document = benchmark(Options(device="cpu", full=False), names=(FLASH, QWEN))
    subjects = {name.rpartition(": ")[0] for name in document.figures}
    for name in (FLASH, QWEN):
        assert f"{name}, {ON_CPU.generated} tokens" in subjects
        assert f"{name}, {ON_CPU.after_prompt} tokens after {ON_CPU.prompt}" in subjects
    assert f"{QWEN}, {ON_CPU.generated} tokens: transformers" in document.figures
    assert document.claims == []


def test_a_decoder_that_chooses_other_tokens_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    step = HybridLM.step
    monkeypatch.setattr(HybridLM, "step", lambda *arguments: step(*arguments).roll(1, -1))
    with pytest.raises(IncorrectError, match="differ"):
        check_tokens(small_models()[FLASH], device="cpu")


def test_a_qwen3_with_other_logits_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = HybridLM.forward
    monkeypatch.setattr(HybridLM, "forward", lambda *arguments: forward(*arguments) * 1.001)
    with pytest.raises(IncorrectError, match="relative RMS"):
        check_qwen3(small_models()[QWEN], device="cpu")


def test_what_does_not_fit_into_memory_is_no_batch_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **settings: object) -> Tensor:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr("benchmarks.decode.random_model", fail)
    assert run_batch(small_models()[FLASH], ON_CPU, batch_size=1, device="cpu") is None


def test_a_pretended_prompt_leaves_every_counter_where_a_read_one_does() -> None:
    architecture = small_models()[FLASH]
    model = HybridLM(architecture, seed=0).eval()
    counters = []
    for pretended in (0, 20):
        decoder = Decoder(model, batch_size=2, max_tokens=40)
        decoder.reset()
        decoder.pretend(pretended)
        decoder.read(prompt_of(architecture, (2, 30 - pretended), device="cpu"))
        decoder.extend(4)
        tensors = decoder._state.tensors()
        counters.append([int(tensor) for tensor in tensors if not tensor.is_floating_point()])
    assert counters[0] == counters[1]
    assert set(counters[0]) == {architecture.num_meta_tokens + 34}


def test_a_batch_run_generates_for_every_sequence() -> None:
    ran = run_batch(small_models()[FLASH], ON_CPU, batch_size=2, device="cpu")
    assert ran is not None
    assert ran.batch_size == 2
    assert ran.tokens_per_second > 0


def test_flash_1b_cannot_decode_8192_tokens_on_an_h100_in_less_than_about_five_seconds() -> None:
    moved = decode_bytes(load_reference(FLASH), batch_size=1, first_context=0, num_steps=8192, dtype_bytes=2)
    assert 4.7 < moved / 3.35e12 < 5.5


def test_every_published_speed_is_of_a_reference() -> None:
    assert set(SECONDS_FOR_8K) == set(TOKENS_A_SECOND_AFTER_32K) <= set(reference_names())


@pytest.mark.parametrize(("memory_share", "holds"), [(1.0, True), (1.04, True), (1.2, False)])
def test_memory_is_claimed_against_what_the_device_reports(
    memory_share: float, holds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, memory_bytes = load_reference(FLASH), 79 * GIB
    tried = []

    def run(architecture: Architecture, size: Size, *, batch_size: int, device: str) -> BatchRun | None:
        tried.append(batch_size)
        needed = inference_memory(
            architecture,
            max_tokens=size.prompt + size.after_prompt,
            dtype=size.dtype,
            batch_size=batch_size,
            prompt_tokens=size.prompt,
        ).total
        if needed > memory_bytes:
            return None
        return BatchRun(batch_size=batch_size, tokens_per_second=1.0, reported_bytes=int(memory_share * needed))

    monkeypatch.setattr("benchmarks.decode.run_batch", run)
    _, claims = at_largest_batch(FLASH, architecture, ON_GPU, device="cuda", memory_bytes=memory_bytes)
    assert tried[1] == 2 * tried[0]
    assert [claim.holds for claim in claims] == [True, True, holds]
