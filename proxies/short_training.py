"""Score an architecture by training it briefly: perplexity and bits per byte on held-out text.

What a candidate can do wrong (diverge, exceed memory, be impossible to build) is a result. What the caller can do wrong
is an error, since it would strike every candidate alike.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from operators.model import HybridLM
from operators.weight_norm import WeightNormalization
from proxies.data import Corpus, check_holds_sequences, training_batch, validation_batch
from proxies.errors import DataError, SettingsError
from proxies.memory import PeakMemory, is_out_of_memory, release_memory
from proxies.memory_check import lack_of_memory
from proxies.placement import check_dtype, resolve_device
from proxies.result import ProxyResult
from proxies.settings import TrainingSettings
from proxies.training import Report, TrainingOutcome, train
from proxies.validation import validate
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortTraining:
    """The proxy with its text and settings, ready for many architectures; picklable."""

    corpus: Corpus
    settings: TrainingSettings

    def evaluate(self, architecture: Architecture, *, seed: int, report: Report | None = None) -> ProxyResult:
        """Train one architecture; see `short_training`."""
        return short_training(architecture, corpus=self.corpus, settings=self.settings, seed=seed, report=report)


def short_training(
    architecture: Architecture,
    *,
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    report: Report | None = None,
) -> ProxyResult:
    """Train an architecture from scratch and validate it; what by far exceeds a GPU's memory is not begun.

    The seed decides initial weights and the order of the text. On one machine's CPU the same seed gives the same losses
    bit for bit; on a GPU some kernels add in another order each time. Sets torch's thread count meanwhile.

    Raises:
        DataError: the corpus is too short for the settings, or the vocabulary too small for the corpus.
        SettingsError: a negative seed.
        UnavailableError: no such device.
    """
    _check(architecture, corpus=corpus, settings=settings, seed=seed)
    device = resolve_device(settings.device)
    check_dtype(settings.dtype, device=device)
    started = time.perf_counter()
    memory = PeakMemory(device)
    with _num_threads(settings.num_threads):
        result = _train_or_say_why(
            architecture, corpus=corpus, settings=settings, seed=seed, device=device, report=report
        )
    return replace(result, seconds=time.perf_counter() - started, peak_memory_bytes=memory.read_bytes())


def _check(architecture: Architecture, *, corpus: Corpus, settings: TrainingSettings, seed: int) -> None:
    if seed < 0:
        raise SettingsError(f"A seed is zero or positive; got {seed}.")
    if architecture.vocab_size < corpus.tokenizer.vocab_size:
        raise DataError(
            f"The vocabulary must cover the {corpus.tokenizer.vocab_size} tokens of {corpus.tokenizer.name!r}; the "
            f"architecture's holds {architecture.vocab_size}. Train proxy_scale(target, vocab_size=…) instead."
        )
    check_holds_sequences(corpus, sequence_tokens=settings.sequence_tokens)


def _train_or_say_why(
    architecture: Architecture,
    *,
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    report: Report | None,
) -> ProxyResult:
    lack = lack_of_memory(architecture, settings=settings, device=device)
    if lack is not None:
        return ProxyResult(status="out_of_memory", message=lack)
    try:
        try:
            model = HybridLM(architecture, seed=seed).to(device)
            model.checkpoints_activations = settings.activation_checkpointing
            if settings.compile:
                model.compile()
        except (SpecError, NotImplementedError) as error:
            return ProxyResult(status="unbuildable", message=str(error))
        outcome = _train(model, corpus=corpus, settings=settings, seed=seed, report=report)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        message = f"{device} ran out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    else:
        return _result(outcome, settings=settings)
    # Outside the handler, whose traceback still holds the model and its activations.
    release_memory(device)
    return ProxyResult(status="out_of_memory", message=message)


def _train(
    model: HybridLM, *, corpus: Corpus, settings: TrainingSettings, seed: int, report: Report | None
) -> TrainingOutcome:
    held_out = validation_batch(
        corpus, num_sequences=settings.validation_sequences, sequence_tokens=settings.sequence_tokens
    )
    return train(
        model,
        lambda step: training_batch(
            corpus,
            step=step,
            seed=seed,
            batch_size=settings.batch_size,
            sequence_tokens=settings.sequence_tokens,
        ),
        settings,
        constrain=WeightNormalization(model).apply_ if settings.weight_normalization else None,
        validate=lambda: validate(
            model,
            held_out,
            bytes_per_token=corpus.tokenizer.bytes_per_token,
            batch_size=settings.batch_size,
            dtype=settings.dtype,
        ),
        report=report,
    )


def _result(outcome: TrainingOutcome, *, settings: TrainingSettings) -> ProxyResult:
    tokens_seen = outcome.steps * settings.tokens_per_step
    if outcome.divergence is not None:
        reason = f"Diverged in step {outcome.divergence.step} of {settings.steps}: {outcome.divergence.reason}."
        return ProxyResult(status="diverged", message=reason, curve=outcome.curve, tokens_seen=tokens_seen)
    validation = outcome.validation
    assert validation is not None, "the last step is always validated"
    return ProxyResult(
        status="finished",
        perplexity=validation.perplexity,
        bits_per_byte=validation.bits_per_byte,
        validation_loss=validation.loss,
        curve=outcome.curve,
        tokens_seen=tokens_seen,
    )


@contextmanager
def _num_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
