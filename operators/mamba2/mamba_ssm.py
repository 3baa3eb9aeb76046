"""State-space duality in mamba-ssm's kernels.

They start only the first document of a packed row from a given state. The recurrence is linear in its state, so what
documents start from is added to their outputs here. torch.compile breaks the graph at the kernels.
"""

from typing import Final

import torch
from torch import Tensor

from operators.context import Documents

CHUNK_TOKENS: Final = 256


def fused(
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    A_H: Tensor,
    B_BTGN: Tensor,
    C_BTGN: Tensor,
    *,
    state_BHPN: Tensor | None,
    documents: Documents | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `reference.recurrent` does, x, B and C in any dtype, dt, A and states in float32.

    A state of none means zeros; every packed document starts from it. Products run in the dtype of x; in float32 Triton
    rounds their operands to TF32.
    """
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    packed = {} if documents is None else {"seq_idx": documents.segment.to(torch.int32)}
    y_BTHP, last_BHPN = mamba_chunk_scan_combined(
        x_BTHP,
        dt_BTH,
        A_H,
        B_BTGN,
        C_BTGN,
        chunk_size=CHUNK_TOKENS,
        initial_states=state_BHPN if documents is None else None,
        return_final_states=True,
        **packed,
    )
    if documents is None or state_BHPN is None:
        return y_BTHP, last_BHPN
    kept_BTH = _kept_since_start(dt_BTH * A_H, documents)
    read_BTHP = _read(C_BTGN, state_BHPN) * kept_BTH[..., None]
    return (y_BTHP + read_BTHP).to(y_BTHP.dtype), last_BHPN + kept_BTH[:, -1, :, None, None] * state_BHPN


def _kept_since_start(log_decay_BTH: Tensor, documents: Documents) -> Tensor:
    """Return the share of its document's initial state that is left at every token."""
    # Differences of running sums over the row: in float64, since decays of earlier documents must not blur a later one.
    total_BTH = log_decay_BTH.double().cumsum(1)
    index_T = torch.arange(total_BTH.shape[1], device=total_BTH.device)
    first_BTH = (index_T - documents.offset)[..., None].expand_as(total_BTH)
    before_BTH = (total_BTH - log_decay_BTH).gather(1, first_BTH)
    return (total_BTH - before_BTH).to(log_decay_BTH.dtype).exp()


def _read(C_BTGN: Tensor, state_BHPN: Tensor) -> Tensor:
    """Return S C for every token and head, [B, T, H, P]."""
    groups = C_BTGN.shape[2]
    state_BGCN = torch.unflatten(state_BHPN, 1, (groups, -1)).flatten(2, 3).to(C_BTGN.dtype)
    read_BGTC = C_BTGN.transpose(1, 2) @ state_BGCN.mT
    return torch.unflatten(read_BGTC.transpose(1, 2), 3, (-1, state_BHPN.shape[2])).flatten(2, 3)
