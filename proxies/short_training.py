"""Score an architecture by training it briefly: perplexity and bits per byte on held-out text.

What a candidate can do wrong (diverge, exceed memory, be impossible to build) is a result. What the caller can do wrong
is an error, since it would strike every candidate alike.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from operators.model import HybridLM
from operators.weight_norm import WeightNormalization
from proxies.budget import within_budget
from proxies.data import Corpus, check_holds_sequences, training_batch, validation_batch
from proxies.distributed import evaluate_together
from proxies.errors import DataError, SettingsError
from proxies.memory import PeakMemory, is_out_of_memory, release_memory
from proxies.memory_check import lack_of_memory
from proxies.packing import ReadsApart
from proxies.placement import check_dtype, num_threads, resolve_devices
from proxies.ranks import ALONE, Ranks
from proxies.result import ProxyResult
from proxies.rungs import Rungs
from proxies.settings import TrainingSettings
from proxies.training import Report, TrainingOutcome, train
from proxies.validation import validate
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError

Keep = Callable[[HybridLM], None]
"""Is given the model of a training that finished, by one process where several trained it; picklable then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortTraining:
    """The proxy with its text and settings, ready for many architectures; picklable."""

    corpus: Corpus
    settings: TrainingSettings

    def evaluate(
        self,
        architecture: Architecture,
        *,
        seed: int,
        report: Report | None = None,
        rungs: Rungs | None = None,
        keep: Keep | None = None,
    ) -> ProxyResult:
        """Train one architecture; see `short_training`."""
        return short_training(
            architecture, corpus=self.corpus, settings=self.settings, seed=seed, report=report, rungs=rungs, keep=keep
        )


def short_training(
    architecture: Architecture,
    *,
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    report: Report | None = None,
    rungs: Rungs | None = None,
    keep: Keep | None = None,
) -> ProxyResult:
    """Train an architecture from scratch and validate it; what by far exceeds a GPU's memory is not begun.

    The seed decides initial weights and the order of the text. On one machine's CPU the same seed gives the same losses
    bit for bit; on a GPU some kernels add in another order each time. Sets torch's thread count meanwhile.
    At `rungs` it is validated early, and ends as `stopped` where it does worse than it may.
    What it trained is gone with the result, unless `keep` takes it.
    Several processes (`settings.num_processes`) are started anew and have ended when this returns or raises.

    Raises:
        DataError: the corpus is too short for the settings, or the vocabulary too small for the corpus.
        SettingsError: a negative seed.
        UnavailableError: no such device, or too few.
        LostProcessError: one of several processes was killed or crashed.
    """
    settings = within_budget(settings, architecture)
    _check(architecture, corpus=corpus, settings=settings, seed=seed)
    devices = resolve_devices(settings)
    started = time.perf_counter()
    evaluate = partial(_evaluate, architecture, corpus=corpus, settings=settings, seed=seed, rungs=rungs, keep=keep)
    if len(devices) == 1:
        result = evaluate(device=devices[0], ranks=ALONE, report=report)
    else:
        result = evaluate_together(evaluate, devices=devices, report=report)
    return replace(result, seconds=time.perf_counter() - started)


def _check(architecture: Architecture, *, corpus: Corpus, settings: TrainingSettings, seed: int) -> None:
    if seed < 0:
        raise SettingsError(f"A seed is zero or positive; got {seed}.")
    if architecture.vocab_size < corpus.tokenizer.vocab_size:
        raise DataError(
            f"The vocabulary must cover the {corpus.tokenizer.vocab_size} tokens of {corpus.tokenizer.name!r}; the "
            f"architecture's holds {architecture.vocab_size}. Train proxy_scale(target, vocab_size=…) instead."
        )
    check_holds_sequences(corpus, sequence_tokens=settings.sequence_tokens)


def _evaluate(
    architecture: Architecture,
    *,
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    ranks: Ranks,
    report: Report | None,
    rungs: Rungs | None,
    keep: Keep | None,
) -> ProxyResult:
    """Train in this process."""
    check_dtype(settings.dtype, device=device)
    memory = PeakMemory(device)
    with num_threads(settings.num_threads):
        result = _train_or_say_why(
            architecture,
            corpus=corpus,
            settings=settings,
            seed=seed,
            device=device,
            ranks=ranks,
            report=report,
            rungs=rungs,
            keep=keep,
        )
    return replace(result, peak_memory_bytes=memory.read_bytes())


def _train_or_say_why(
    architecture: Architecture,
    *,
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    ranks: Ranks,
    report: Report | None,
    rungs: Rungs | None,
    keep: Keep | None,
) -> ProxyResult:
    at_once = settings.batch_size // (ranks.count * settings.num_micro_batches)
    share = replace(settings, batch_size=at_once, num_processes=None, num_micro_batches=1)
    lack = lack_of_memory(architecture, settings=share, device=device)
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
        outcome = _train(model, corpus=corpus, settings=settings, seed=seed, ranks=ranks, report=report, rungs=rungs)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        message = f"{device} ran out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    else:
        result = _result(outcome, settings=settings)
        if keep is not None and result.status == "finished" and ranks.rank == 0:
            keep(model)
        return result
    # Outside the handler, whose traceback still holds the model and its activations.
    release_memory(device)
    return ProxyResult(status="out_of_memory", message=message)


def _train(
    model: HybridLM,
    *,
    corpus: Corpus,
    settings: TrainingSettings,
    seed: int,
    ranks: Ranks,
    report: Report | None,
    rungs: Rungs | None,
) -> TrainingOutcome:
    held_out = validation_batch(
        corpus, num_sequences=settings.validation_sequences, sequence_tokens=settings.sequence_tokens
    )
    end = corpus.tokenizer.end_of_document
    reader = ReadsApart(model, end_of_document=end) if settings.reset_at_documents else model
    return train(
        reader,
        lambda step: training_batch(
            corpus,
            step=step,
            seed=seed,
            batch_size=settings.batch_size,
            sequence_tokens=settings.sequence_tokens,
            sampling=settings.sampling,
        ),
        settings,
        constrain=WeightNormalization(model).apply_ if settings.weight_normalization else None,
        validate=lambda: validate(
            reader,
            held_out,
            bytes_per_token=corpus.bytes_per_token,
            batch_size=settings.batch_size // ranks.count,
            dtype=settings.dtype,
            ranks=ranks,
        ),
        report=report,
        ranks=ranks,
        width=model.architecture.hidden_size,
        rungs=rungs,
    )


def _result(outcome: TrainingOutcome, *, settings: TrainingSettings) -> ProxyResult:
    reached = ProxyResult(
        status="stopped",
        curve=outcome.curve,
        tokens_seen=outcome.steps * settings.tokens_per_step,
        tokens_planned=settings.total_tokens,
        rung_losses=outcome.rung_losses,
    )
    if outcome.divergence is not None:
        reason = f"Diverged in step {outcome.divergence.step} of {settings.steps}: {outcome.divergence.reason}."
        return replace(reached, status="diverged", message=reason)
    if outcome.is_stopped:
        return reached
    validation = outcome.validation
    assert validation is not None, "the last step is always validated"
    return replace(
        reached,
        status="finished",
        perplexity=validation.perplexity,
        bits_per_byte=validation.bits_per_byte,
        validation_loss=validation.loss,
    )
