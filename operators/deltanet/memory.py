"""What both DeltaNets share around the delta rule: keys, write strengths, one token of it in place, the output."""

import torch
from torch import Tensor
from torch.nn import functional as F

from operators.norms import RMSNorm
from operators.precision import wide, without_autocast


def write_and_read_(
    carried_BHKV: Tensor,
    q_BHK: Tensor,
    k_BHK: Tensor,
    v_BHV: Tensor,
    beta_BH: Tensor,
    *,
    decay_BH: Tensor | None = None,
) -> Tensor:
    """Return what the query recalls, [B, H, V], after the memory has decayed and taken in the value."""
    with without_autocast(k_BHK):
        if decay_BH is not None:
            carried_BHKV.mul_(decay_BH[..., None, None])
        recalled_BHV = (k_BHK[:, :, None] @ carried_BHKV).squeeze(2)
        error_BHV = beta_BH[..., None] * (v_BHV - recalled_BHV)
        carried_BHKV.addcmul_(k_BHK[..., None], error_BHV[:, :, None])
        return (q_BHK[:, :, None] @ carried_BHKV).squeeze(2)


def unit(x: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Return x divided by its length over the last axis."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + eps)


def write_strength(beta: Tensor, *, allow_negative_eigenvalues: bool) -> Tensor:
    """Return how much of its value a key writes: up to 1, or up to 2, where a memory may turn around."""
    strength = wide(beta).sigmoid()
    return 2 * strength if allow_negative_eigenvalues else strength


def gated_norm(y_HV: Tensor, gate: list[Tensor], *, norm: RMSNorm) -> Tensor:
    """Return the heads normed, side by side and, where there is a gate [..., H·V], multiplied by its activation."""
    mixed: Tensor = norm(y_HV if not gate else wide(y_HV)).flatten(-2)
    if gate:
        # Rounded once, after the gate.
        mixed = (mixed * F.silu(wide(gate[0]))).to(y_HV.dtype)
    return mixed
