"""The gated delta rule in fla's kernels, queries and keys normalised inside them.

Products run in the dtype of q, k and v, decays and states in float32. torch.compile breaks the graph here.
"""

from torch import Tensor

from operators.context import Documents
from operators.fla.packing import of_every_document, of_last_documents, one_row, rows


def fused(
    q_BTGK: Tensor,
    k_BTGK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTH: Tensor,
    beta_BTH: Tensor,
    *,
    state_BHKV: Tensor | None,
    documents: Documents | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the gated delta rule for unit(q)/√K and unit(k), in bfloat16 or float16.

    Args:
        q_BTGK: Queries as they leave the convolution, one head for H/G heads of values; the kernels normalise and
            scale them.
        k_BTGK: Keys, likewise.
        v_BTHV: Values.
        log_decay_BTH: Logarithm of what the state keeps at every token, float32.
        beta_BTH: Writing strengths, float32.
        state_BHKV: State that the sequence, or every packed document, starts from; none means zeros.
        documents: Packing.

    Returns:
        The outputs [B, T, H, V] and the last state in float32.
    """
    from fla.ops.gated_delta_rule import chunk_gated_delta_rule

    streams: tuple[Tensor, ...] = (q_BTGK, k_BTGK, v_BTHV, log_decay_BTH, beta_BTH)
    packing = {}
    if documents is not None:
        streams = tuple(one_row(x) for x in streams)
        packing = {"cu_seqlens": documents.cu_seqlens}
        state_BHKV = of_every_document(state_BHKV, documents)
    y, state = chunk_gated_delta_rule(
        *streams,
        scale=q_BTGK.shape[-1] ** -0.5,
        initial_state=state_BHKV,
        output_final_state=True,
        use_qk_l2norm_in_kernel=True,
        **packing,
    )
    if documents is None:
        return y, state
    return rows(y, documents), of_last_documents(state, documents)
