"""State-space duality in fla's kernels of linear attention with one decay per head: C asks, B is the key, x the value.

Groups are expanded to heads first, which mamba-ssm's kernels need not do. torch.compile breaks the graph here.
"""

from torch import Tensor

from operators.context import Documents
from operators.fla.packing import of_every_document, of_last_documents, one_row, rows


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
    """Return what `reference.recurrent` does, x, B and C in bfloat16 or float16, dt, A and states in float32.

    A state of none means zeros; every packed document starts from it.
    """
    from fla.ops.simple_gla import chunk_simple_gla

    heads_a_group = x_BTHP.shape[2] // B_BTGN.shape[2]
    q_BTHN, k_BTHN = (x.repeat_interleave(heads_a_group, dim=2) for x in (C_BTGN, B_BTGN))
    v_BTHP = (dt_BTH[..., None] * x_BTHP).to(x_BTHP.dtype)
    streams: tuple[Tensor, ...] = (q_BTHN, k_BTHN, v_BTHP, dt_BTH * A_H)
    packing = {}
    if documents is not None:
        streams = tuple(one_row(x) for x in streams)
        packing = {"cu_seqlens": documents.cu_seqlens}
        state_BHPN = of_every_document(state_BHPN, documents)
    y, state = chunk_simple_gla(
        *streams,
        scale=1.0,
        initial_state=None if state_BHPN is None else state_BHPN.mT.contiguous(),
        output_final_state=True,
        **packing,
    )
    if documents is None:
        return y, state.mT
    return rows(y, documents), of_last_documents(state, documents).mT
