"""One token of the delta rule on a memory that is updated in place, gated or not, and how keys are normalised."""

import torch
from torch import Tensor

from operators.precision import without_autocast


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
