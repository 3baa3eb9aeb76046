"""The training loop of short runs: AdamW, warm-up and cosine, clipping, autocast, and a watch for divergence.

One device, and this process's part where several train together. Knows neither corpora nor architectures: batches come
from a function of the step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from proxies.divergence import Divergence, DivergenceWatch
from proxies.optimizer import Updates, make_updates
from proxies.placement import autocast
from proxies.ranks import ALONE, Ranks
from proxies.result import CurvePoint
from proxies.rungs import Rungs
from proxies.schedule import learning_rate
from proxies.settings import TrainingSettings
from proxies.validation import Validation

__all__ = ["Loss", "Report", "TrainingOutcome", "TrainingSettings", "next_token_loss", "train"]

CHECK_EVERY: Final = 10
"""Steps between looks at the losses: on a GPU each look waits for the device."""

CURVE_POINTS: Final = 50
"""A curve has about as many points at most, validations apart."""

Report = Callable[[int, int, float], None]
"""Called with steps done, steps in all, and the mean loss since the last call; what it raises ends the training."""

Loss = Callable[[nn.Module, Tensor], Tensor]
"""Takes the model and this process's part of a batch, on the model's device; gives the mean loss. Called within
autocast."""


def next_token_loss(model: nn.Module, tokens_BT: Tensor) -> Tensor:
    """Return the mean nats of predicting each token from those before it."""
    logits_BTV = model(tokens_BT[:, :-1])
    return functional.cross_entropy(logits_BTV.flatten(0, 1).float(), tokens_BT[:, 1:].flatten())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOutcome:
    """How a training went."""

    curve: tuple[CurvePoint, ...]
    steps: int
    """Steps done, those of a divergence included."""

    validation: Validation | None
    """Of the trained model; none if it diverged or nothing was validated."""

    divergence: Divergence | None

    rung_losses: tuple[float, ...] = ()
    """Validation losses at the rungs it reached."""

    is_stopped: bool = False
    """Whether it ended at the last of these, before its time."""


def train(
    model: nn.Module,
    batches: Callable[[int], NDArray[np.int64]],
    settings: TrainingSettings,
    *,
    constrain: Callable[[], None] | None = None,
    validate: Callable[[], Validation] | None = None,
    report: Report | None = None,
    ranks: Ranks = ALONE,
    loss: Loss = next_token_loss,
    width: int | None = None,
    rungs: Rungs | None = None,
) -> TrainingOutcome:
    """Train a model in place, where its parameters are, on next-token prediction unless `loss` says otherwise.

    `batches(step)` gives what `loss` takes, [batch, sequence + 1] tokens, for steps from 0; of several processes, each
    takes its share of the first axis. `constrain` brings the weights back to where they belong, before the first step
    and after every one. `width` is the model's, for rates that depend on it. A divergence ends the run and is returned.
    At `rungs`, which need `validate`, it is validated too and may end there.
    Processes that began with the same weights keep the same ones, see the same losses and return the same outcome.
    """
    device = next(model.parameters()).device
    updates = make_updates(model, settings, width=width)
    # Losses and norms stay on the device until they are looked at.
    losses_S = torch.zeros(settings.steps, device=device)
    norms_S = torch.zeros(settings.steps, device=device)
    watch = DivergenceWatch()
    curve: list[CurvePoint] = []
    validation: Validation | None = None
    num_checked = num_drawn = 0
    rung_steps = () if rungs is None else rungs.steps(settings.steps)
    rung_losses: tuple[float, ...] = ()
    curve_every = -(-settings.steps // CURVE_POINTS)
    model.train()
    if constrain is not None:
        constrain()
    for step in range(settings.steps):
        batch = torch.from_numpy(ranks.share(batches(step))).to(device)
        losses_S[step], norms_S[step] = _update(
            model, batch, updates, learning_rate(settings, step=step), settings=settings, ranks=ranks, mean_loss=loss
        )
        if constrain is not None:
            constrain()
        done = step + 1
        is_last = done == settings.steps
        is_validated = (
            is_last
            or done in rung_steps
            or (settings.validation_every is not None and done % settings.validation_every == 0)
        )
        is_drawn = is_validated or done % curve_every == 0
        if not is_drawn and done % CHECK_EVERY:
            continue
        # The norms are of averaged gradients: every process has the same.
        ranks.mean_(losses_S[num_checked:done])
        losses, norms = losses_S[num_checked:done].tolist(), norms_S[num_checked:done].tolist()
        num_checked = done
        divergence = watch.observe(losses, norms)
        if divergence is not None:
            return TrainingOutcome(curve=tuple(curve), steps=done, validation=None, divergence=divergence)
        if report is not None:
            report(done, settings.steps, sum(losses) / len(losses))
        if is_drawn:
            if is_validated and validate is not None:
                validation = validate()
                if not math.isfinite(validation.perplexity):
                    divergence = Divergence(step=done, reason=f"the validation loss is {validation.loss}")
                    return TrainingOutcome(curve=tuple(curve), steps=done, validation=None, divergence=divergence)
            curve.append(
                CurvePoint(
                    tokens=done * settings.tokens_per_step,
                    loss=float(losses_S[num_drawn:done].mean()),
                    validation_loss=validation.loss if is_validated and validation is not None else None,
                )
            )
            num_drawn = done
        if rungs is not None and validation is not None and done in rung_steps:
            rung_losses += (validation.loss,) * rung_steps.count(done)
            # The validation loss is the same on every process.
            if rungs.is_enforced and not is_last and rungs.first_unmet(rung_losses) is not None:
                return TrainingOutcome(
                    curve=tuple(curve),
                    steps=done,
                    validation=validation,
                    divergence=None,
                    rung_losses=rung_losses,
                    is_stopped=True,
                )
    return TrainingOutcome(
        curve=tuple(curve), steps=settings.steps, validation=validation, divergence=None, rung_losses=rung_losses
    )


def _update(
    model: nn.Module,
    batch: Tensor,
    updates: Updates,
    rate: float,
    *,
    settings: TrainingSettings,
    ranks: Ranks,
    mean_loss: Loss,
) -> tuple[Tensor, Tensor]:
    """Take one optimizer step; return this process's loss before it and the norm of its gradient before clipping."""
    parts = batch.chunk(settings.num_micro_batches)
    total = torch.zeros((), device=batch.device)
    for part in parts:
        with autocast(settings.dtype, device=batch.device):
            loss = mean_loss(model, part)
        torch.autograd.backward(loss / len(parts) if len(parts) > 1 else loss)
        total += loss.detach() / len(parts)
    ranks.average_gradients(updates.parameters)
    norm = nn.utils.clip_grad_norm_(updates.parameters, settings.clip_norm, foreach=True)
    updates.step(rate=rate)
    return total, norm
