import math
import pickle
from dataclasses import replace

import pytest
import torch

from operators.model import HybridLM
from operators.registry import REGISTRY
from operators.weight_norm import WeightNormalization
from proxies import short_training as short_training_module
from proxies.data import Corpus
from proxies.errors import DataError, SettingsError
from proxies.result import ProxyResult
from proxies.short_training import ShortTraining, short_training
from proxies.training import TrainingSettings
from search_spaces import Architecture, DeltaNetSpec, UnavailableError, architecture_from_pattern

SETTINGS = TrainingSettings(steps=30, batch_size=2, sequence_tokens=64, validation_sequences=16, device="cpu")


def tiny(pattern: str = "d f m2 f", *, vocab_size: int = 257) -> Architecture:
    return architecture_from_pattern(pattern, hidden_size=64, vocab_size=vocab_size)


def scores(result: ProxyResult) -> ProxyResult:
    """Return what a seed decides."""
    return replace(result, seconds=0.0, peak_memory_bytes=None)


def test_a_hybrid_learns_real_text(library: Corpus) -> None:
    settings = replace(SETTINGS, steps=100, batch_size=4)
    result = short_training(tiny("d f m2 f a f"), corpus=library, settings=settings, seed=0)
    assert result.status == "finished"
    assert result.message == ""
    assert result.curve[0].loss == pytest.approx(math.log(257), abs=0.3)
    assert result.validation_loss is not None
    # Byte frequencies alone reach about 3.4 nats on this text.
    assert result.validation_loss < 3.0
    assert result.perplexity == pytest.approx(math.exp(result.validation_loss))
    assert result.bits_per_byte == pytest.approx(result.validation_loss / math.log(2), rel=0.01)
    assert result.tokens_seen == 100 * 4 * 64 == result.curve[-1].tokens
    assert result.curve[-1].validation_loss == result.validation_loss
    assert 0 < result.seconds < 600


@pytest.mark.parametrize("pattern", ["a f", "m2", "d f", "gd f", "hh f", "m1 f", "w f"])
def test_every_mixer_learns_a_repetition(pattern: str, repetition: Corpus) -> None:
    settings = replace(SETTINGS, steps=80)
    result = short_training(tiny(pattern), corpus=repetition, settings=settings, seed=1)
    assert result.status == "finished"
    assert result.curve[-1].loss < 0.1


def test_weights_are_normalised_after_every_step(library: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Remembered(WeightNormalization):
        def __init__(self, model: HybridLM) -> None:
            super().__init__(model)
            made.append(self)

    monkeypatch.setattr(short_training_module, "WeightNormalization", Remembered)
    settings = replace(SETTINGS, steps=60, weight_normalization=True, weight_decay=0.0)
    result = short_training(tiny(), corpus=library, settings=settings, seed=2)
    assert result.status == "finished"
    assert result.curve[-1].loss < result.curve[0].loss - 0.5
    for matrix in made[0].matrices:
        lengths = matrix.weight.detach().norm(dim=1 if matrix.part == "row" else 0)
        assert (lengths - 1).abs().max() < 1e-5


def test_checkpointed_activations_change_no_score(library: Corpus) -> None:
    plain = short_training(tiny(), corpus=library, settings=SETTINGS, seed=2)
    settings = replace(SETTINGS, activation_checkpointing=True)
    assert scores(short_training(tiny(), corpus=library, settings=settings, seed=2)) == scores(plain)


# torch.compile itself makes an instance of every autograd function it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiled_model_learns_the_same(library: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its graph is run by torch's own kernels here, so that no C++ compiler is needed.
    compiled = []

    def traced(model: torch.nn.Module) -> torch.nn.Module:
        compiled.append(torch_compile(model, backend="aot_eager"))
        return compiled[-1]

    torch_compile = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    settings = replace(SETTINGS, steps=10)
    plain = short_training(tiny(), corpus=library, settings=settings, seed=2)
    found = short_training(tiny(), corpus=library, settings=replace(settings, compile=True), seed=2)
    assert compiled
    assert found.perplexity == pytest.approx(plain.perplexity, rel=1e-3)


def test_a_seed_reproduces_bit_for_bit_and_another_does_not(library: Corpus) -> None:
    proxy = ShortTraining(corpus=library, settings=replace(SETTINGS, validation_every=10))
    first = proxy.evaluate(tiny("d f m2 f a f"), seed=5)
    torch.manual_seed(123)
    assert scores(proxy.evaluate(tiny("d f m2 f a f"), seed=5)) == scores(first)
    other = proxy.evaluate(tiny("d f m2 f a f"), seed=6)
    assert not {point.loss for point in other.curve} & {point.loss for point in first.curve}


@pytest.mark.parametrize("fixed", ["HybridLM", "training_batch"])
def test_a_seed_decides_both_the_weights_and_the_text(
    fixed: str, library: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(short_training_module, fixed)
    monkeypatch.setattr(short_training_module, fixed, lambda *args, **kwargs: original(*args, **{**kwargs, "seed": 0}))
    proxy = ShortTraining(corpus=library, settings=replace(SETTINGS, steps=2))
    assert proxy.evaluate(tiny("a"), seed=1).curve != proxy.evaluate(tiny("a"), seed=2).curve


def test_the_global_random_state_is_left_alone(library: Corpus) -> None:
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    short_training(tiny("a f"), corpus=library, settings=replace(SETTINGS, steps=2), seed=0)
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_an_absurd_learning_rate_is_a_result_that_names_the_step(library: Corpus) -> None:
    settings = replace(SETTINGS, steps=200, learning_rate=1e4, warmup_fraction=0.0)
    result = short_training(tiny("a f"), corpus=library, settings=settings, seed=0)
    assert result.status == "diverged"
    step = int(result.message.removeprefix("Diverged in step ").split()[0])
    assert 2 <= step <= 20
    assert result.message.startswith(f"Diverged in step {step} of 200: the ")
    assert (result.perplexity, result.bits_per_byte, result.validation_loss) == (None, None, None)
    assert step * 128 <= result.tokens_seen < 200 * 128


def test_a_model_that_exceeds_memory_is_a_result(library: Corpus) -> None:
    result = short_training(tiny(vocab_size=2**50), corpus=library, settings=SETTINGS, seed=0)
    assert result.status == "out_of_memory"
    assert result.message.startswith("cpu ran out of memory: ")
    assert result.perplexity is None


def test_a_spec_that_no_layer_computes_is_a_result(library: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(REGISTRY._layers, DeltaNetSpec)
    result = short_training(tiny("d f"), corpus=library, settings=SETTINGS, seed=0)
    assert result.status == "unbuildable"
    assert "No layer computes DeltaNetSpec" in result.message
    assert result.tokens_seen == 0


def test_an_error_that_is_ours_is_not_taken_for_a_bad_candidate(
    library: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("proxies.training.functional.cross_entropy", broken)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        short_training(tiny("a f"), corpus=library, settings=SETTINGS, seed=0)


def test_every_mixer_trains_under_bfloat16_autocast(library: Corpus) -> None:
    losses = {}
    for dtype in ("float32", "bfloat16"):
        settings = TrainingSettings.from_dict({**SETTINGS.to_dict(), "dtype": dtype, "steps": 20})
        losses[dtype] = short_training(tiny("d f m2 f a f"), corpus=library, settings=settings, seed=0).validation_loss
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.03)
    assert losses["bfloat16"] != losses["float32"]


def test_a_vocabulary_too_small_for_the_text_is_the_callers_error(library: Corpus) -> None:
    with pytest.raises(DataError, match=r"must cover the 257 tokens of 'bytes'; .* holds 256\. Train proxy_scale"):
        short_training(tiny(vocab_size=256), corpus=library, settings=SETTINGS, seed=0)


def test_sequences_longer_than_the_corpus_are_the_callers_error(repetition: Corpus) -> None:
    with pytest.raises(DataError, match="need 100001; the train split"):
        short_training(tiny(), corpus=repetition, settings=replace(SETTINGS, sequence_tokens=100_000), seed=0)


def test_a_negative_seed_is_refused(library: Corpus) -> None:
    with pytest.raises(SettingsError, match="zero or positive; got -1"):
        short_training(tiny(), corpus=library, settings=SETTINGS, seed=-1)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there_is_an_error_of_the_environment(device: str, library: Corpus) -> None:
    with pytest.raises(UnavailableError, match=device) as caught:
        short_training(tiny(), corpus=library, settings=replace(SETTINGS, device=device), seed=0)
    assert caught.value.exit_code == 4


def test_threads_are_set_for_the_training_only(library: Corpus) -> None:
    seen = set()
    before = torch.get_num_threads()
    settings = replace(SETTINGS, steps=2, num_threads=before + 1)
    short_training(
        tiny("a f"), corpus=library, settings=settings, seed=0, report=lambda *_: seen.add(torch.get_num_threads())
    )
    assert seen == {before + 1}
    assert torch.get_num_threads() == before

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        short_training(tiny("a f"), corpus=library, settings=settings, seed=0, report=stop)
    assert torch.get_num_threads() == before


def test_the_proxy_travels_between_processes(repetition: Corpus) -> None:
    proxy = ShortTraining(corpus=repetition, settings=replace(SETTINGS, steps=3))
    copy = pickle.loads(pickle.dumps(proxy))
    assert scores(copy.evaluate(tiny("a"), seed=0)) == scores(proxy.evaluate(tiny("a"), seed=0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_in_bfloat16_where_it_has_it_and_counts_its_memory(library: Corpus) -> None:
    settings = replace(SETTINGS, steps=100, device="cuda")
    result = short_training(tiny("d f m2 f a f"), corpus=library, settings=settings, seed=0)
    assert result.validation_loss is not None
    assert result.validation_loss < 3.2
    assert result.peak_memory_bytes is not None
    assert 10**6 < result.peak_memory_bytes < 10**9
