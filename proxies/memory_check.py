"""Refuse what cannot fit a GPU before it is built: the stated memory of a training step against what is free.

A refusal must be sure, since it strikes a candidate: only what certainly is needed counts, and only far beyond what is
free. What is not refused may run out of memory all the same, and is caught then.
"""

from typing import Final, Literal

import torch

from operators.backends import BACKENDS
from operators.training_memory import training_memory
from proxies.memory import free_bytes
from proxies.placement import is_bfloat16
from proxies.settings import TrainingSettings
from search_spaces.architecture import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, FlaSpec

CLEAR_MARGIN: Final = 1.25
"""How many times the free memory a step must need; what is stated is within a tenth of what torch allocates."""


def lack_of_memory(architecture: Architecture, *, settings: TrainingSettings, device: torch.device) -> str | None:
    """Return in words that a training step needs far more memory than is free, or none: it fits, or nobody can say."""
    free = free_bytes(device)
    if free is None or any(isinstance(spec, FlaSpec) for spec in architecture.operators):
        return None
    needed = least_training_bytes(architecture, settings=settings, device=device)
    if needed <= CLEAR_MARGIN * free:
        return None
    return (
        f"A training step must fit the free memory of {device}, {free / 1e9:.3g} GB; it needs {needed / 1e9:.3g} GB, "
        "as stated without running it. Lower batch_size or sequence_tokens, or set activation_checkpointing."
    )


def least_training_bytes(architecture: Architecture, *, settings: TrainingSettings, device: torch.device) -> int:
    """Return what a training step needs at least, whatever runs it.

    On the torch backends that is the stated peak. Fused kernels keep less of an operator, so with them only what is
    around operators counts; a compiled model keeps less of everything, so there it is weights, moments and gradients.
    """
    is_narrow = is_bfloat16(settings.dtype, device=device)
    kind: Literal["cpu", "cuda"] = "cuda" if device.type == "cuda" else "cpu"
    memory = training_memory(
        architecture,
        batch_size=settings.batch_size,
        num_tokens=settings.sequence_tokens,
        compute_dtype_bytes=2 if is_narrow else 4,
        checkpointing=settings.activation_checkpointing,
        device=kind,
    )
    persistent = memory.weights + memory.moments
    if settings.compile:
        return persistent + memory.gradients
    if not _has_fused_operators(architecture, device=kind, dtype="bfloat16" if is_narrow else "float32"):
        return memory.total
    checkpoints = memory.checkpoints if settings.activation_checkpointing else 0
    return persistent + max(memory.gradients, checkpoints + memory.loss)


def _has_fused_operators(architecture: Architecture, *, device: str, dtype: str) -> bool:
    if all(isinstance(spec, AttentionSpec | FFNSpec) for spec in architecture.operators):
        return False
    return any(
        BACKENDS[name].missing_package() is None and BACKENDS[name].obstacle(device=device, dtype=dtype) is None
        for name in ("fla", "mamba_ssm")
    )
