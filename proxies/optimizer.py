"""AdamW with decay on matrices only, and a learning rate that warms up linearly and falls along a cosine."""

import math
from typing import Final

import torch
from torch import nn

from proxies.settings import TrainingSettings

EMBEDDING_NAMES: Final = frozenset({"embedding", "meta_tokens"})
"""Parameters that are looked up, where they are not in an `nn.Embedding`."""


def adamw(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """Return the optimizer of a model's trainable parameters, each once.

    Decayed are parameters of two and more axes that are no embedding; a head tied to the embedding counts as one.
    """
    embeddings = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_embedding = id(parameter) in embeddings or name.rpartition(".")[2] in EMBEDDING_NAMES
            (others if parameter.ndim < 2 or is_embedding else matrices).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # One native call updates every parameter; the default would be a Python loop on a CPU.
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=settings.learning_rate, betas=settings.betas, fused=True
    )


def learning_rate(settings: TrainingSettings, *, step: int) -> float:
    """Return the rate of a step, counted from 0: linear to the peak, then a cosine that ends at the last step."""
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step + 1 - warmup) / max(1, settings.steps - warmup)
    floor = settings.final_learning_rate_fraction
    return settings.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
