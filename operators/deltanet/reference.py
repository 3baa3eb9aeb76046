"""The delta rule as mathematics, gated or not; the recurrence is the truth."""

import torch
from torch import Tensor

from operators.context import Documents


def recurrent(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    beta_BTH: Tensor,
    *,
    log_decay_BTH: Tensor | None = None,
    state_BHKV: Tensor,
    documents: Documents | None = None,
) -> tuple[Tensor, Tensor]:
    """Run S = α_t S_{t−1}, S_t = S + β_t k_t (v_t − Sᵀ k_t)ᵀ, o_t = S_tᵀ q_t one token at a time; α is 1 without decay.

    Every document of a packed row starts from `state_BHKV`.

    Returns:
        The outputs [B, T, H, V] and the last state.
    """
    initial_BHKV, outputs = state_BHKV, []
    for t in range(q_BTHK.shape[1]):
        if documents is not None:
            is_first_B = documents.offset[:, t] == 0
            state_BHKV = torch.where(is_first_B[:, None, None, None], initial_BHKV, state_BHKV)
        if log_decay_BTH is not None:
            state_BHKV = state_BHKV * log_decay_BTH[:, t, :, None, None].exp()
        k_BHK = k_BTHK[:, t]
        recalled_BHV = (state_BHKV * k_BHK[..., None]).sum(-2)
        error_BHV = beta_BTH[:, t, :, None] * (v_BTHV[:, t] - recalled_BHV)
        state_BHKV = state_BHKV + k_BHK[..., None] * error_BHV[..., None, :]
        outputs.append((state_BHKV * q_BTHK[:, t, :, :, None]).sum(-2))
    return torch.stack(outputs, dim=1), state_BHKV
