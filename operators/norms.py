"""RMS normalization, plain and gated.

Statistics are taken in float32 (or wider); the result has the input's dtype.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operators.precision import wide


def rms_normalize(x: Tensor, weight: Tensor, *, eps: float) -> Tensor:
    """Return x / rms(x) · weight over the last axis."""
    wide_x = wide(x)
    normalized = wide_x * torch.rsqrt(wide_x.square().mean(-1, keepdim=True) + eps)
    return (normalized * weight.to(wide_x.dtype)).to(x.dtype)


class RMSNorm(nn.Module):
    """x / rms(x) · weight over the last axis."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input."""
        return rms_normalize(x, self.weight, eps=self.eps)


class GatedRMSNorm(nn.Module):
    """norm(x · silu(gate)) · weight, the norm taken over each of `num_groups` equal parts of the last axis."""

    def __init__(self, width: int, *, num_groups: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.num_groups = num_groups
        self.eps = eps

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """Return the gated and normalised input, in the input's dtype."""
        wide_x = wide(x)
        gated = torch.unflatten(wide_x * F.silu(gate.to(wide_x.dtype)), -1, (self.num_groups, -1))
        normalized = gated * torch.rsqrt(gated.square().mean(-1, keepdim=True) + self.eps)
        return (normalized.flatten(-2) * self.weight.to(wide_x.dtype)).to(x.dtype)
