"""The learning rate over a training: a linear warm-up, then one of a few ways down."""

import math
from typing import Final

from proxies.settings import Schedule, TrainingSettings


def learning_rate(settings: TrainingSettings, *, step: int) -> float:
    """Return the rate of a step, counted from 0: linear to the peak, then down as the schedule says."""
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * fraction_of_peak(
        settings.schedule,
        progress=(step + 1 - warmup) / max(1, settings.steps - warmup),
        final_fraction=settings.final_learning_rate_fraction,
        decay_fraction=settings.decay_fraction,
    )


def fraction_of_peak(schedule: Schedule, *, progress: float, final_fraction: float, decay_fraction: float) -> float:
    """Return the rate as a share of its peak.

    Args:
        schedule: which way down.
        progress: share of what follows the warm-up that is over after this step, up to 1.
        final_fraction: where it ends.
        decay_fraction: share over which `warmup_stable_decay` falls.
    """
    return final_fraction + (1 - final_fraction) * _SHAPES[schedule](progress, decay_fraction)


def _cosine(progress: float, decay_fraction: float) -> float:  # noqa: ARG001  a shape's signature
    return 0.5 * (1 + math.cos(math.pi * progress))


def _warmup_stable_decay(progress: float, decay_fraction: float) -> float:
    """Stay at the peak, then fall linearly over the last share of the steps [arXiv 2404.06395]."""
    return min(1.0, (1 - progress) / decay_fraction) if decay_fraction else 1.0


_SHAPES: Final = {"cosine": _cosine, "warmup_stable_decay": _warmup_stable_decay}
assert set(_SHAPES) == set(Schedule.__args__)  # type: ignore[attr-defined]
