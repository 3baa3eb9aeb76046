"""Which stage a step belongs to, what it holds, and at which learning rate: pure functions of recipe and step.

Which text its sequences are is `mixture.py`.
"""

from bisect import bisect_right
from dataclasses import dataclass

from nas.errors import ConfigError
from nas.winners.recipe import Recipe, Source, Stage
from proxies.schedule import fraction_of_peak


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One stage in whole steps."""

    index: int
    first_step: int
    """Counted from 0 over the whole training."""

    num_steps: int
    tokens_before: int
    """Of all earlier stages."""

    batch_size: int
    sequence_tokens: int
    num_micro_batches: int
    mixture: tuple[Source, ...]
    learning_rate: float | None
    """Peak of a schedule of its own."""

    @property
    def tokens_per_step(self) -> int:
        """Tokens predicted in one step."""
        return self.batch_size * self.sequence_tokens

    @property
    def tokens(self) -> int:
        """Tokens of all its steps."""
        return self.num_steps * self.tokens_per_step

    @property
    def end_step(self) -> int:
        """The first step that is no longer its."""
        return self.first_step + self.num_steps


class Plan:
    """All steps of a training."""

    def __init__(self, recipe: Recipe) -> None:
        """Divide the stages into steps.

        Raises:
            ConfigError: a batch that holds no sequence.
        """
        self._recipe = recipe
        stages: list[PlannedStage] = []
        first_step = tokens = 0
        for index, stage in enumerate(recipe.stages):
            planned = _planned(recipe, stage, index=index, first_step=first_step, tokens_before=tokens)
            stages.append(planned)
            first_step += planned.num_steps
            tokens += planned.tokens
        self.stages = tuple(stages)
        self.steps = first_step
        self.tokens = tokens
        self._first_steps = [stage.first_step for stage in stages]

    def stage_of(self, step: int) -> PlannedStage:
        """Return the stage of a step, counted from 0."""
        return self.stages[bisect_right(self._first_steps, step) - 1]

    def tokens_after(self, num_steps: int) -> int:
        """Return the tokens seen once so many steps are done."""
        if not num_steps:
            return 0
        stage = self.stage_of(num_steps - 1)
        return stage.tokens_before + (num_steps - stage.first_step) * stage.tokens_per_step

    def learning_rate(self, step: int) -> float:
        """Return the rate of a step, counted from 0.

        The training's schedule runs over the tokens of all stages that have no rate of their own.
        """
        stage = self.stage_of(step)
        seen = self.tokens_after(step + 1)
        if stage.learning_rate is not None:
            return self._rate(stage.learning_rate, seen=seen - stage.tokens_before, tokens=stage.tokens)
        apart = [other for other in self.stages if other.learning_rate is not None]
        seen -= sum(other.tokens for other in apart if other.index < stage.index)
        return self._rate(
            self._recipe.learning_rate, seen=seen, tokens=self.tokens - sum(other.tokens for other in apart)
        )

    def _rate(self, peak: float, *, seen: int, tokens: int) -> float:
        warmup = self._recipe.warmup_fraction * tokens
        if seen <= warmup:
            return peak * seen / warmup
        return peak * fraction_of_peak(
            self._recipe.schedule,
            progress=(seen - warmup) / (tokens - warmup),
            final_fraction=self._recipe.final_learning_rate_fraction,
            decay_fraction=self._recipe.decay_fraction,
        )


def check_divides(plan: Plan, *, num_processes: int) -> None:
    """Check that every batch can be shared out.

    Raises:
        ConfigError: with the nearest sizes.
    """
    for stage in plan.stages:
        parts = num_processes * stage.num_micro_batches
        if stage.batch_size % parts:
            smaller = stage.batch_size // parts * parts
            nearest = f"{smaller}, {smaller + parts}" if smaller else str(parts)
            raise ConfigError(
                f"The batch of stage {stage.index + 1} must divide among {num_processes} process(es) × "
                f"{stage.num_micro_batches} micro-batch(es); got {stage.batch_size} sequences. Nearest batch_size: "
                f"{nearest}. Or change num_micro_batches."
            )


def check_goes_on(before: Plan, after: Plan, *, steps_done: int) -> None:
    """Check that a changed plan has the same past: what began is what it was, and none of it is taken back.

    Raises:
        ConfigError: naming the stage.
    """
    for old in before.stages:
        if old.first_step >= steps_done:
            return
        new = after.stages[old.index] if old.index < len(after.stages) else None
        same = new is not None and (
            (old.first_step, old.batch_size, old.sequence_tokens, old.mixture)
            == (new.first_step, new.batch_size, new.sequence_tokens, new.mixture)
        )
        if new is None or not same or new.end_step < min(steps_done, old.end_step):
            raise ConfigError(
                f"A stage that has begun keeps its text, batches and lengths, and the {steps_done} steps done are "
                f"done; stage {old.index + 1} differs. Restore it, or choose another --output for another training."
            )


def _planned(recipe: Recipe, stage: Stage, *, index: int, first_step: int, tokens_before: int) -> PlannedStage:
    if stage.batch_size is not None:
        batch_size = stage.batch_size
    elif stage.batch_tokens is not None or recipe.batch_size is None:
        batch_tokens = stage.batch_tokens or recipe.batch_tokens
        assert batch_tokens is not None  # a recipe has one or the other
        batch_size = batch_tokens // stage.sequence_tokens
        if not batch_size:
            raise ConfigError(
                f"A batch holds one sequence at least; stage {index + 1} has sequences of {stage.sequence_tokens} "
                f"tokens in batches of {batch_tokens}. Raise batch_tokens, or shorten the sequences."
            )
    else:
        batch_size = recipe.batch_size
    return PlannedStage(
        index=index,
        first_step=first_step,
        num_steps=-(-stage.tokens // (batch_size * stage.sequence_tokens)),
        tokens_before=tokens_before,
        batch_size=batch_size,
        sequence_tokens=stage.sequence_tokens,
        num_micro_batches=stage.num_micro_batches or recipe.num_micro_batches,
        mixture=stage.data or recipe.data,
        learning_rate=stage.learning_rate,
    )
