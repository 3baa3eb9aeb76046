"""The selective state space as mathematics; the recurrence is the truth [Mamba, Algorithm 2]."""

import torch
from torch import Tensor

from operators.context import Documents


def recurrent(
    x_BTI: Tensor,
    dt_BTI: Tensor,
    A_IN: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    *,
    state_BIN: Tensor,
    documents: Documents | None = None,
) -> tuple[Tensor, Tensor]:
    """Run h_t = exp(dt_t A) h_{t−1} + dt_t x_t B_tᵀ, y_t = h_t C_t one token at a time.

    Every document of a packed row starts from `state_BIN`.

    Returns:
        The outputs [B, T, I] and the last state.
    """
    initial_BIN, outputs = state_BIN, []
    for t in range(x_BTI.shape[1]):
        if documents is not None:
            is_first_B = documents.offset[:, t] == 0
            state_BIN = torch.where(is_first_B[:, None, None], initial_BIN, state_BIN)
        decay_BIN = torch.exp(dt_BTI[:, t, :, None] * A_IN)
        state_BIN = decay_BIN * state_BIN + (dt_BTI[:, t] * x_BTI[:, t])[..., None] * B_BTN[:, t, None]
        outputs.append((state_BIN * C_BTN[:, t, None]).sum(-1))
    return torch.stack(outputs, dim=1), state_BIN
