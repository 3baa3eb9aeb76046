"""RMS normalization, plain and gated.

Statistics are taken in float32 (or wider); the result has the input's dtype.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from operators.once_differentiable import once_differentiable
from operators.precision import wide


class RMSNorm(nn.Module):
    """x / rms(x) · weight over the last axis."""

    def __init__(self, width: int, *, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised input."""
        if x.is_cuda:
            # One kernel there; on a CPU torch composes it of many.
            return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
        return _normalize(wide(x), self.weight, eps=self.eps).to(x.dtype)


class GatedRMSNorm(nn.Module):
    """norm(x · silu(gate)) · weight, the norm taken over each of `num_groups` equal parts of the last axis."""

    def __init__(self, width: int, *, num_groups: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.num_groups = num_groups
        self.eps = eps

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """Return the gated and normalised input, in the input's dtype."""
        groups = (self.num_groups, -1)
        gated = torch.unflatten(wide(x) * F.silu(wide(gate)), -1, groups)
        return _normalize(gated, torch.unflatten(self.weight, 0, groups), eps=self.eps).flatten(-2).to(x.dtype)


def _normalize(x: Tensor, weight: Tensor, *, eps: float) -> Tensor:
    normalized: Tensor = _Normalize.apply(x, weight.to(x.dtype), eps)  # type: ignore[no-untyped-call]
    return normalized


class _Normalize(torch.autograd.Function):
    """x / rms(x) · weight with a gradient that needs few passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        scale = mean_square.add_(eps).rsqrt_()
        unit = x * scale
        ctx.save_for_backward(unit, weight, scale)
        normalized: Tensor = unit * weight
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        unit, weight, scale = ctx.saved_tensors
        grad_unit = grads[0] * weight
        along = (grad_unit * unit).mean(-1, keepdim=True)
        grad_x = torch.addcmul(grad_unit, unit, along, value=-1).mul_(scale)
        return grad_x, (grads[0] * unit).sum_to_size(weight.shape), None
