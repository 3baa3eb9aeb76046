"""How many steps a budget of arithmetic buys an architecture."""

from dataclasses import replace

from operators.cost import flops_per_token
from proxies.settings import TrainingSettings
from search_spaces.architecture import Architecture


def training_flops_per_token(architecture: Architecture, *, sequence_tokens: int) -> float:
    """Return the arithmetic of training on one token: a backward pass is two forward ones.

    A token sees half of its sequence on average.
    """
    return 3.0 * flops_per_token(architecture, context_tokens=sequence_tokens // 2)


def within_budget(settings: TrainingSettings, architecture: Architecture) -> TrainingSettings:
    """Return the settings with as many steps as `flops` buys, at least one; unchanged where nothing bounds them."""
    if settings.flops is None:
        return settings
    each = training_flops_per_token(architecture, sequence_tokens=settings.sequence_tokens) * settings.tokens_per_step
    return replace(settings, steps=max(1, min(settings.steps, int(settings.flops // each))))
