"""One probe: train an architecture from scratch on fresh questions of a task, then ask it held-out ones.

Shares the training loop, the seeds' meaning and the kinds of failure with short training.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from operators.model import HybridLM
from operators.weight_norm import WeightNormalization
from proxies.errors import SettingsError
from proxies.memory import is_out_of_memory, release_memory
from proxies.memory_check import lack_of_memory
from proxies.placement import autocast, check_dtype, num_threads, resolve_device
from proxies.probes.decoder import LastTokenDecoder
from proxies.probes.result import HeldOutAnswers, ProbeResult
from proxies.probes.task import IGNORED, ProbeTask, Questions
from proxies.scale import proxy_scale
from proxies.settings import TrainingDtype, TrainingSettings
from proxies.training import Report, train
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError

_TRAINING: Final = 1
_HELD_OUT: Final = 2
"""Sets held-out questions apart from those of training; the same for every seed."""


def run_probe(
    architecture: Architecture,
    task: ProbeTask,
    *,
    settings: TrainingSettings,
    seed: int,
    longer: Sequence[ProbeTask] = (),
    report: Report | None = None,
) -> ProbeResult:
    """Train the architecture with the task's vocabulary and return how well it answers.

    Args:
        architecture: What to probe: its width and its operators.
        task: What is trained and asked.
        settings: How; `sequence_tokens` is the task's and not taken from here, and `validation_sequences` are asked.
        seed: Decides initial weights and the sequences trained on. The held-out ones are always the same.
        longer: Tasks of the same vocabulary that the trained model is asked as well.
        report: Told of the training's progress.

    Raises:
        SettingsError: a negative seed, or several processes.
        UnavailableError: no such device.
    """
    if seed < 0:
        raise SettingsError(f"A seed is zero or positive; got {seed}.")
    if settings.num_processes not in (None, 1):
        raise SettingsError(f"A probe is trained by one process; got num_processes={settings.num_processes}.")
    settings = replace(settings, sequence_tokens=task.num_tokens)
    device = resolve_device(settings.device)
    check_dtype(settings.dtype, device=device)
    started = time.perf_counter()
    with num_threads(settings.num_threads):
        result = _train_or_say_why(
            proxy_scale(architecture, vocab_size=task.vocab_size),
            (task, *longer),
            settings=settings,
            seed=seed,
            device=device,
            report=report,
        )
    return replace(result, seconds=time.perf_counter() - started)


def answer_loss(model: nn.Module, questions_B2T: Tensor) -> Tensor:
    """Return the mean nats of the answers; the batch holds tokens, then labels, of every sequence."""
    logits_BTV = model(questions_B2T[:, 0])
    labels_BT = questions_B2T[:, 1]
    return functional.cross_entropy(logits_BTV.flatten(0, 1).float(), labels_BT.flatten(), ignore_index=IGNORED)


def ask(
    model: nn.Module, task: ProbeTask, *, num_sequences: int, batch_size: int, dtype: TrainingDtype
) -> HeldOutAnswers:
    """Return how well a model answers the held-out questions of a task; leaves it in training mode."""
    device = next(model.parameters()).device
    batch = _stacked(task.sample(num_sequences, rng=np.random.default_rng(_HELD_OUT)))
    num_right = torch.zeros((), dtype=torch.int64, device=device)
    nats = torch.zeros((), dtype=torch.float64, device=device)
    num_asked = torch.zeros_like(num_right)
    model.eval()
    with torch.no_grad(), autocast(dtype, device=device):
        for questions_B2T in torch.split(torch.from_numpy(batch).to(device), batch_size):
            is_asked_BT = questions_B2T[:, 1] != IGNORED
            answers_Q = questions_B2T[:, 1][is_asked_BT]
            logits_QV = model(questions_B2T[:, 0])[is_asked_BT].float()
            num_right += (logits_QV.argmax(dim=1) == answers_Q).sum()
            nats += functional.cross_entropy(logits_QV, answers_Q, reduction="sum").double()
            num_asked += is_asked_BT.sum()
    model.train()
    return HeldOutAnswers(
        num_tokens=task.num_tokens,
        accuracy=int(num_right) / int(num_asked),
        loss=float(nats) / int(num_asked),
        chance=task.chance,
    )


def _train_or_say_why(
    architecture: Architecture,
    tasks: Sequence[ProbeTask],
    *,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    report: Report | None,
) -> ProbeResult:
    lack = lack_of_memory(architecture, settings=settings, device=device)
    if lack is not None:
        return ProbeResult(status="out_of_memory", message=lack)
    try:
        try:
            model = HybridLM(architecture, seed=seed)
        except (SpecError, NotImplementedError) as error:
            return ProbeResult(status="unbuildable", message=str(error))
        return _train(model, tasks, settings=settings, seed=seed, device=device, report=report)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        message = f"{device} ran out of memory: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    # Outside the handler, whose traceback still holds the model and its activations.
    release_memory(device)
    return ProbeResult(status="out_of_memory", message=message)


def _train(
    model: HybridLM,
    tasks: Sequence[ProbeTask],
    *,
    settings: TrainingSettings,
    seed: int,
    device: torch.device,
    report: Report | None,
) -> ProbeResult:
    task = tasks[0]
    model.checkpoints_activations = settings.activation_checkpointing
    answering: nn.Module = model
    if task.answered_from == "last_token":
        answering = LastTokenDecoder(model, num_tokens=task.num_tokens, seed=seed)
    answering = answering.to(device)
    if settings.compile:
        answering.compile()
    outcome = train(
        answering,
        lambda step: _stacked(task.sample(settings.batch_size, rng=np.random.default_rng((_TRAINING, seed, step)))),
        settings,
        constrain=WeightNormalization(model).apply_ if settings.weight_normalization else None,
        report=report,
        loss=answer_loss,
        width=model.architecture.hidden_size,
    )
    if outcome.divergence is not None:
        reason = f"Diverged in step {outcome.divergence.step} of {settings.steps}: {outcome.divergence.reason}."
        return ProbeResult(status="diverged", message=reason, steps=outcome.steps)
    answers = tuple(
        ask(
            answering,
            each,
            num_sequences=settings.validation_sequences,
            batch_size=settings.batch_size,
            dtype=settings.dtype,
        )
        for each in tasks
    )
    return ProbeResult(status="finished", answers=answers, steps=outcome.steps)


def _stacked(questions: Questions) -> NDArray[np.int64]:
    """Return tokens and labels as one array [B, 2, T], which the training loop takes for a batch."""
    return np.stack((questions.tokens, questions.labels), axis=1)
