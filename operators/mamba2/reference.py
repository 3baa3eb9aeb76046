"""State-space duality as mathematics.

The recurrence is the truth; the chunked form computes the same with matrix products [Mamba-2, section 6].
"""

import torch
from torch import Tensor

from operators.context import Documents


def recurrent(
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    A_H: Tensor,
    B_BTGN: Tensor,
    C_BTGN: Tensor,
    *,
    state_BHPN: Tensor,
    documents: Documents | None = None,
) -> tuple[Tensor, Tensor]:
    """Run S_t = exp(dt_t A) S_{t−1} + dt_t x_t B_tᵀ, y_t = S_t C_t one token at a time.

    Every document of a packed row starts from `state_BHPN`.

    Returns:
        The outputs [B, T, H, P] and the last state.
    """
    heads_a_group = x_BTHP.shape[2] // B_BTGN.shape[2]
    B_BTHN, C_BTHN = (x.repeat_interleave(heads_a_group, dim=2) for x in (B_BTGN, C_BTGN))
    initial_BHPN, outputs = state_BHPN, []
    for t in range(x_BTHP.shape[1]):
        if documents is not None:
            is_first_B = documents.offset[:, t] == 0
            state_BHPN = torch.where(is_first_B[:, None, None, None], initial_BHPN, state_BHPN)
        decay_BH = torch.exp(dt_BTH[:, t] * A_H)
        update_BHPN = (dt_BTH[:, t, :, None] * x_BTHP[:, t])[..., None] * B_BTHN[:, t, :, None, :]
        state_BHPN = decay_BH[..., None, None] * state_BHPN + update_BHPN
        outputs.append((state_BHPN * C_BTHN[:, t, :, None, :]).sum(-1))
    return torch.stack(outputs, dim=1), state_BHPN
