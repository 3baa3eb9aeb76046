"""The learning rate over the steps of a training: a linear warm-up, then one of a few ways down."""

import math
from typing import Final

from proxies.settings import Schedule, TrainingSettings


def learning_rate(settings: TrainingSettings, *, step: int) -> float:
    """Return the rate of a step, counted from 0: linear to the peak, then down as the schedule says."""
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step + 1 - warmup) / max(1, settings.steps - warmup)
    floor = settings.final_learning_rate_fraction
    return settings.learning_rate * (floor + (1 - floor) * _SHAPES[settings.schedule](progress, settings))


def _cosine(progress: float, settings: TrainingSettings) -> float:  # noqa: ARG001  a shape's signature
    return 0.5 * (1 + math.cos(math.pi * progress))


def _warmup_stable_decay(progress: float, settings: TrainingSettings) -> float:
    """Stay at the peak, then fall linearly over the last share of the steps [arXiv 2404.06395]."""
    return min(1.0, (1 - progress) / settings.decay_fraction) if settings.decay_fraction else 1.0


_SHAPES: Final = {"cosine": _cosine, "warmup_stable_decay": _warmup_stable_decay}
assert set(_SHAPES) == set(Schedule.__args__)  # type: ignore[attr-defined]
