"""Rotary position embedding: partial, any base, with the frequency scaling of Llama 3.

Channel i of the rotated part turns with channel i + half (the "half" layout of the published checkpoints).
"""

import math

import torch
from torch import Tensor

from operators.precision import wide, wide_dtype
from search_spaces.specs import AttentionSpec, RopeScaling


def frequencies(spec: AttentionSpec, *, device: torch.device) -> Tensor:
    """Return the angular frequency of each pair of rotated channels, float32 of shape [rotary_dim / 2]."""
    if spec.rope_theta is None:
        raise AssertionError("frequencies() of an attention without rotary embedding")
    exponent = torch.arange(0, spec.rotary_dim, 2, dtype=torch.float32, device=device) / spec.rotary_dim
    base = 1.0 / (spec.rope_theta**exponent)
    return base if spec.rope_scaling is None else _scale(base, spec.rope_scaling)


def _scale(base: Tensor, scaling: RopeScaling) -> Tensor:
    """Slow down long wavelengths by `factor`, keep short ones, blend between."""
    turns = scaling.original_max_tokens * base / (2 * math.pi)
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return base * (kept + (1 - kept) / scaling.factor)


def rotations(frequency_R: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine, float32, with the axes of `positions` and one for the channel pairs."""
    angles = positions[..., None].float() * frequency_R
    return angles.cos(), angles.sin()


def rotate(x_BTHK: Tensor, cosine_BTR: Tensor, sine_BTR: Tensor) -> Tensor:
    """Turn the leading 2·R channels of every head; the rest pass through.

    The batch axis of the rotations may be absent or 1. Turns in float32 or wider and rounds once, to the input's dtype.
    """
    cosine, sine = (table.unsqueeze(-2).to(wide_dtype(x_BTHK)) for table in (cosine_BTR, sine_BTR))
    half = cosine.shape[-1]
    first, second, *rest = torch.split(wide(x_BTHK), _widths(half, x_BTHK.shape[-1]), dim=-1)
    turned = (
        torch.addcmul(first * cosine, second, sine, value=-1),
        torch.addcmul(second * cosine, first, sine),
    )
    return torch.cat((*turned, *rest), dim=-1).to(x_BTHK.dtype)


def _widths(half: int, head_dim: int) -> list[int]:
    return [half, half] if 2 * half == head_dim else [half, half, head_dim - 2 * half]
