"""The loop of a training: steps, looks at the losses, validations, checkpoints. One process's part of it.

What a step sees and at which rate is a function of its number; so are random numbers, if anything draws them. What is
carried from step to step is in the checkpoint. How everything is made is `training.py`.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from nas.winners.checkpoints import Checkpoints, Snapshot
from nas.winners.errors import DataEndedError, TrainingError
from nas.winners.optimizer_state import optimizer_counters, optimizer_tensors
from nas.winners.parallel.protocol import Parallel
from nas.winners.progress import TrainingObserver
from nas.winners.recipe import Recipe
from nas.winners.stages import Plan
from nas.winners.texts import HeldOut, Texts, together
from nas.winners.tracking.tracker import Tracker
from nas.winners.utilisation import flops_per_token, peak_flops
from nas.winners.weight_average import WeightAverage
from operators.model import HybridLM
from proxies.divergence import DivergenceWatch
from proxies.optimizer import Updates
from proxies.packing import ReadsApart
from proxies.placement import autocast, is_bfloat16
from proxies.validation import Validation, validate

Status = Literal["finished", "interrupted"]

WEIGHTS_PREFIX: Final = "weights."
"""Before the names of the weights themselves, where the checkpoint's model is their average."""

_STREAM_OF_STEPS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """What a training consists of, made and ready."""

    model: HybridLM
    loss: nn.Module
    """Takes tokens, gives what is lowered and the loss of the text; what `Parallel.prepare` returned."""

    updates: Updates
    constrain: Callable[[], None] | None
    average: WeightAverage | None
    recipe: Recipe
    plan: Plan
    texts: Texts
    parallel: Parallel
    checkpoints: Checkpoints
    trackers: Sequence[Tracker]
    """None but in the first process."""

    observer: TrainingObserver
    provenance: Mapping[str, Any]


class TrainingLoop:
    """The steps of one training, from where it stands."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.step = 0
        """Steps done."""

        self.validation: Validation | None = None
        """The last one."""

        self._watch = DivergenceWatch()
        self._unread: list[tuple[Tensor, Tensor]] = []
        """Loss and gradient norm of steps not looked at; they stay on the device."""

        self._unlogged: list[tuple[float, float]] = []
        """The same of steps since the last line of the log."""

        self._seconds_before = 0.0
        self._started = self._line_started = self._saved_at = time.perf_counter()
        self._line_tokens = 0
        self._saved_step = 0
        """Of the newest checkpoint."""

        self._held_out: tuple[HeldOut, ...] = parts.texts.held_out()
        end = parts.texts.tokenizer.end_of_document
        self._reader = ReadsApart(parts.model, end_of_document=end) if parts.recipe.reset_at_documents else parts.model
        dtype, device = parts.recipe.dtype, parts.parallel.device
        self._peak_flops = peak_flops(device, bfloat16=is_bfloat16(dtype, device=device))

    def restore(self, state: Mapping[str, Any]) -> None:
        """Stand where a checkpoint was written."""
        self.step = self._saved_step = state["step"]
        self._seconds_before = state["seconds"]
        self._watch = DivergenceWatch.from_dict(state["watch"])
        self._unlogged = [(loss, norm) for loss, norm in state["unlogged"]]
        self.validation = None if state["validation"] is None else Validation(**state["validation"])

    @property
    def tokens(self) -> int:
        """Tokens seen."""
        return self._parts.plan.tokens_after(self.step)

    @property
    def seconds(self) -> float:
        """Of training, earlier sessions included."""
        return self._seconds_before + time.perf_counter() - self._started

    def run(self, *, is_interrupted: Callable[[], bool]) -> Status:
        """Train to the end, or until interrupted; either way the last thing done is a checkpoint, whole on the disk.

        Raises:
            DataEndedError: a source that is read once has no more; a checkpoint was written.
            TrainingError: the training diverged, or a checkpoint cannot be written; those before are as they were.
        """
        parts, plan, recipe = self._parts, self._parts.plan, self._parts.recipe
        parts.model.train()
        self._started = self._line_started = self._saved_at = time.perf_counter()
        self._line_tokens = self.tokens
        while self.step < plan.steps:
            try:
                tokens_BT = self._rows_of_step()
            except DataEndedError as error:
                raise DataEndedError(f"{error} {self._keep_what_is_done()}") from error
            self._take_step(tokens_BT)
            is_last = self.step == plan.steps
            is_line = is_last or self.step % recipe.log_every == 0
            is_validated = is_last or _is_due(self.step, recipe.validation.every)
            is_saved = is_last or _is_due(self.step, recipe.checkpoints.every_steps)
            if is_line or is_validated or is_saved:
                self._look()
            if is_line:
                self._log_line()
            if is_validated:
                self._validate()
            stop = False
            if is_line or parts.parallel.count == 1:
                # Asking the other processes takes an exchange.
                stop = not is_last and parts.parallel.any_(is_interrupted())
                if parts.parallel.any_(parts.checkpoints.has_failed):
                    parts.checkpoints.wait()
                is_saved = is_saved or stop or parts.parallel.any_(self._is_time_to_save())
            if is_saved:
                self._save()
            if stop:
                parts.checkpoints.wait()
                return "interrupted"
        parts.checkpoints.wait()
        return "finished"

    def _rows_of_step(self) -> Tensor:
        parts = self._parts
        stage = parts.plan.stage_of(self.step)
        places_B = parts.parallel.share(np.arange(stage.batch_size, dtype=np.int64))
        tokens_BT = parts.texts.batch(step=self.step, places_B=places_B)
        if parts.parallel.device.type == "cuda":
            return tokens_BT.pin_memory().to(parts.parallel.device, non_blocking=True)
        return tokens_BT

    def _take_step(self, tokens_BT: Tensor) -> None:
        parts, recipe, parallel = self._parts, self._parts.recipe, self._parts.parallel
        # Whatever draws random numbers draws those of the step, also after an interruption.
        torch.manual_seed(_seed(recipe.seed, self.step, parallel.rank))
        pieces = tokens_BT.chunk(parts.plan.stage_of(self.step).num_micro_batches)
        text = torch.zeros((), device=tokens_BT.device)
        for index, piece_BT in enumerate(pieces):
            with parallel.accumulating(parts.loss, is_last=index == len(pieces) - 1):
                with autocast(recipe.dtype, device=tokens_BT.device):
                    total, text_of_piece = parts.loss(piece_BT)
                torch.autograd.backward(total / len(pieces))
            text += text_of_piece / len(pieces)
        norm = parallel.clip_(parts.updates.parameters, max_norm=recipe.clip_norm)
        parts.updates.step(rate=parts.plan.learning_rate(self.step))
        if parts.constrain is not None:
            parts.constrain()
        if parts.average is not None:
            parts.average.update_()
        self._unread.append((text, norm))
        self.step += 1

    def _look(self) -> None:
        """Read the losses of the steps since the last look."""
        if not self._unread:
            return
        losses_S = torch.stack([loss for loss, _ in self._unread])
        norms_S = torch.stack([norm for _, norm in self._unread])
        # The norms are of averaged gradients: every process has the same.
        losses = self._parts.parallel.mean_(losses_S).tolist()
        norms = norms_S.tolist()
        self._unread = []
        self._unlogged += zip(losses, norms, strict=True)
        divergence = self._watch.observe(losses, norms)
        if divergence is not None:
            self._diverged(f"Diverged in step {divergence.step} of {self._parts.plan.steps}: {divergence.reason}.")

    def _log_line(self) -> None:
        parts = self._parts
        now = time.perf_counter()
        tokens_per_s = (self.tokens - self._line_tokens) / max(now - self._line_started, 1e-9)
        stage = parts.plan.stage_of(self.step - 1)
        self._tell(
            {
                "step": self.step,
                "tokens": self.tokens,
                "loss": sum(loss for loss, _ in self._unlogged) / len(self._unlogged),
                "learning_rate": parts.plan.learning_rate(self.step - 1),
                "gradient_norm": sum(norm for _, norm in self._unlogged) / len(self._unlogged),
                "weight_norm": float(parts.parallel.norm(parts.updates.parameters)),
                "tokens_per_s": tokens_per_s,
                "mfu": self._utilisation(tokens_per_s, sequence_tokens=stage.sequence_tokens),
                "seconds": self.seconds,
                "stage": stage.index + 1,
            }
        )
        self._unlogged = []
        self._line_started, self._line_tokens = time.perf_counter(), self.tokens

    def _utilisation(self, tokens_per_s: float, *, sequence_tokens: int) -> float | None:
        flops = flops_per_token(self._parts.model.architecture, sequence_tokens=sequence_tokens)
        if self._peak_flops is None or flops is None:
            return None
        return flops * tokens_per_s / (self._peak_flops * self._parts.parallel.count)

    def _validate(self) -> None:
        parts = self._parts
        began = time.perf_counter()
        if parts.average is None:
            found = self._validate_weights()
        else:
            with parts.average.in_place():
                found = self._validate_weights()
        self.validation = found
        # Its time is not the steps'.
        self._line_started += time.perf_counter() - began
        if not math.isfinite(found.perplexity):
            self._diverged(f"Diverged in step {self.step} of {parts.plan.steps}: the validation loss is {found.loss}.")
        self._tell(
            {
                "step": self.step,
                "tokens": self.tokens,
                "validation_loss": found.loss,
                "perplexity": found.perplexity,
                "bits_per_byte": found.bits_per_byte,
                "seconds": self.seconds,
            }
        )

    def _validate_weights(self) -> Validation:
        parts = self._parts
        stage = parts.plan.stage_of(self.step - 1)
        at_once = stage.tokens_per_step // (parts.parallel.count * stage.num_micro_batches)
        each = tuple(
            validate(
                self._reader,
                held_out.sequences,
                bytes_per_token=held_out.bytes_per_token,
                batch_size=max(1, at_once // (held_out.sequences.shape[1] - 1)),
                dtype=parts.recipe.dtype,
                ranks=parts.parallel,
            )
            for held_out in self._held_out
        )
        return together(each, self._held_out)

    def _is_time_to_save(self) -> bool:
        minutes = self._parts.recipe.checkpoints.every_minutes
        waited_s = time.perf_counter() - self._saved_at
        return self._parts.parallel.is_first and minutes is not None and waited_s >= 60 * minutes

    def _save(self) -> None:
        """Begin to write a checkpoint. Its losses have been looked at: what diverged is not kept."""
        self._look()
        parts = self._parts
        weights: dict[str, Tensor] = parts.model.state_dict()
        training = optimizer_tensors(parts.model, parts.updates)
        if parts.average is not None:
            training |= {f"{WEIGHTS_PREFIX}{name}": weight for name, weight in weights.items()}
            weights = weights | parts.average.average
        found = self.validation
        parts.checkpoints.save(
            Snapshot(
                step=self.step,
                weights=weights,
                training=training,
                state={
                    "step": self.step,
                    "tokens": self.tokens,
                    "seconds": self.seconds,
                    "watch": self._watch.to_dict(),
                    "unlogged": self._unlogged,
                    "counters": optimizer_counters(parts.model, parts.updates),
                    "validation": None if found is None else asdict(found),
                    "texts": parts.texts.hashes,
                },
                provenance={
                    **parts.provenance,
                    "step": self.step,
                    "tokens": self.tokens,
                    "validation_loss": None if found is None else found.loss,
                },
            )
        )
        self._saved_at = time.perf_counter()
        self._saved_step = self.step

    def _keep_what_is_done(self) -> str:
        """Write a checkpoint of the steps done, if there are any, and say so."""
        if self.step > self._saved_step:
            self._save()
        self._parts.checkpoints.wait()
        return f"The {self.step} steps done are kept." if self.step else "Nothing was trained."

    def _diverged(self, words: str) -> None:
        self._parts.checkpoints.wait()
        newest = self._parts.checkpoints.newest_step
        if newest is None:
            raise TrainingError(
                f"{words} There is no checkpoint before it. Begin again with a lower learning rate or clip_norm."
            )
        raise TrainingError(
            f"{words} The checkpoint of step {newest} is kept. Try a lower learning rate or clip_norm from there: "
            "--resume --set learning_rate=…"
        )

    def _tell(self, event: Mapping[str, Any]) -> None:
        if self._parts.parallel.is_first:
            for tracker in self._parts.trackers:
                tracker.log(event)
            self._parts.observer.progressed(event)


def _is_due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence((*parts, _STREAM_OF_STEPS)).generate_state(1, np.uint64)[0] >> 1)
