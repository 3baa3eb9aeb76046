from dataclasses import replace

import pytest
import torch

from operators import backends
from operators.training_memory import training_memory
from proxies import memory_check
from proxies import short_training as short_training_module
from proxies.data import Corpus
from proxies.memory import free_bytes
from proxies.memory_check import CLEAR_MARGIN, lack_of_memory, least_training_bytes
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from search_spaces import Architecture, FlaSpec, architecture_from_pattern

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(steps=2, batch_size=2, sequence_tokens=64, validation_sequences=2, device="cpu")


def tiny(pattern: str = "d f a f") -> Architecture:
    return architecture_from_pattern(pattern, hidden_size=64, vocab_size=257)


def leave_free(monkeypatch: pytest.MonkeyPatch, num_bytes: float) -> None:
    monkeypatch.setattr(memory_check, "free_bytes", lambda _: int(num_bytes))


def install_fused_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make fla look as if it were installed and ran here in float32."""
    fla = replace(backends.BACKENDS["fla"], package="torch", devices=None, dtypes=frozenset({"float32"}))
    monkeypatch.setattr(memory_check, "BACKENDS", {**backends.BACKENDS, "fla": fla})


def test_a_candidate_far_too_large_for_the_device_is_a_result_with_both_figures_and_nothing_is_built(
    library: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing may be built")

    monkeypatch.setattr(short_training_module, "HybridLM", refuse)
    needed = least_training_bytes(tiny(), settings=SETTINGS, device=CPU)
    leave_free(monkeypatch, 2e6)
    result = short_training(tiny(), corpus=library, settings=SETTINGS, seed=0)
    assert result.status == "out_of_memory"
    assert f"free memory of cpu, 0.002 GB; it needs {needed / 1e9:.3g} GB" in result.message
    assert "Lower batch_size" in result.message
    assert (result.perplexity, result.tokens_seen) == (None, 0)


def test_what_exceeds_the_free_memory_by_less_than_the_margin_is_tried(
    library: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = least_training_bytes(tiny(), settings=SETTINGS, device=CPU)
    leave_free(monkeypatch, needed / CLEAR_MARGIN + 1)
    assert short_training(tiny(), corpus=library, settings=SETTINGS, seed=0).status == "finished"
    leave_free(monkeypatch, needed / CLEAR_MARGIN - 1)
    assert short_training(tiny(), corpus=library, settings=SETTINGS, seed=0).status == "out_of_memory"


def test_a_cpu_has_no_free_memory_to_speak_of() -> None:
    assert free_bytes(CPU) is None
    huge = replace(tiny(), vocab_size=2**50)
    assert lack_of_memory(huge, settings=SETTINGS, device=CPU) is None


def test_a_layer_whose_memory_is_not_known_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_free(monkeypatch, 1)
    architecture = replace(tiny(), operators=(FlaSpec(layer="kda"),))
    assert lack_of_memory(architecture, settings=SETTINGS, device=CPU) is None


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_on_the_torch_backends_the_stated_peak_is_needed(dtype: str, checkpointing: bool) -> None:
    changes = {"dtype": dtype, "activation_checkpointing": checkpointing}
    settings = TrainingSettings.from_dict({**SETTINGS.to_dict(), **changes})
    stated = training_memory(
        tiny(),
        batch_size=2,
        num_tokens=64,
        compute_dtype_bytes=4 if dtype == "float32" else 2,
        checkpointing=checkpointing,
        device="cpu",
    )
    assert least_training_bytes(tiny(), settings=settings, device=CPU) == stated.total


def test_fused_kernels_keep_an_unknown_part_of_recurrent_operators_only(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, sequence_tokens=512)
    plain = {pattern: least_training_bytes(tiny(pattern), settings=settings, device=CPU) for pattern in ("d f", "a f")}
    install_fused_kernels(monkeypatch)
    fused = {pattern: least_training_bytes(tiny(pattern), settings=settings, device=CPU) for pattern in ("d f", "a f")}
    assert fused["a f"] == plain["a f"]
    assert fused["d f"] < plain["d f"]
    memory = training_memory(tiny("d f"), batch_size=2, num_tokens=512, compute_dtype_bytes=4, device="cpu")
    assert fused["d f"] == memory.weights + memory.moments + max(memory.gradients, memory.loss)
    checkpointed = replace(settings, activation_checkpointing=True)
    with_stream = least_training_bytes(tiny("d f"), settings=checkpointed, device=CPU)
    assert with_stream == memory.weights + memory.moments + max(memory.gradients, memory.checkpoints + memory.loss)


def test_a_compiled_model_needs_its_weights_moments_and_gradients() -> None:
    memory = training_memory(tiny(), batch_size=2, num_tokens=64, compute_dtype_bytes=4, device="cpu")
    settings = replace(SETTINGS, compile=True)
    needed = least_training_bytes(tiny(), settings=settings, device=CPU)
    assert needed == memory.weights + memory.moments + memory.gradients < memory.total


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_tells_what_is_free_with_what_torch_keeps_for_itself() -> None:
    device = torch.device("cuda")
    torch.cuda.empty_cache()
    before = free_bytes(device)
    block = torch.empty(2**28, dtype=torch.uint8, device=device)
    during = free_bytes(device)
    del block
    after = free_bytes(device)
    assert before is not None
    assert during is not None
    assert after is not None
    assert before - during == pytest.approx(2**28, rel=0.1)
    assert after == pytest.approx(before, rel=0.01)
