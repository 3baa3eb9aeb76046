"""State-space duality in chunks: attention-like products within a chunk, a short recurrence between chunks.

Equal to `reference.recurrent` up to rounding. Decays enter only as exp of sums that are never positive.
"""

from typing import Any, Final

import torch
from torch import Tensor

from operators.chunks import Chunking, DocumentChunks, causal_mask
from operators.context import Documents
from operators.linear_scan import linear_scan
from operators.once_differentiable import once_differentiable

CHUNK_TOKENS: Final = 64


def chunked(
    x_BTHP: Tensor,
    dt_BTH: Tensor,
    A_H: Tensor,
    B_BTGN: Tensor,
    C_BTGN: Tensor,
    *,
    state_BHPN: Tensor,
    documents: Documents | None = None,
    chunk_tokens: int = CHUNK_TOKENS,
) -> tuple[Tensor, Tensor]:
    """Return the outputs [B, T, H, P] and the state after the last token.

    Every document of a packed row starts from `state_BHPN`.
    """
    groups = (B_BTGN.shape[2], x_BTHP.shape[2] // B_BTGN.shape[2])
    heads = (groups[1], x_BTHP.shape[3])
    chunking = Chunking.of(x_BTHP.shape[1], longest=chunk_tokens)
    cut = None if documents is None else DocumentChunks.of(documents.segment, chunking)
    mask = causal_mask(chunking.chunk_tokens, device=x_BTHP.device)
    if cut is not None:
        mask = (mask & cut.together)[:, :, None]

    dtype = x_BTHP.dtype
    log_decay_BCHL = chunking.split(dt_BTH * A_H).transpose(2, 3)
    x_BCLHP = chunking.split(x_BTHP * dt_BTH[..., None])
    B_BCGLN, C_BCGLN = (chunking.split(x).transpose(2, 3) for x in (B_BTGN, C_BTGN))
    # Differences of running sums: in float64, since a large decay earlier in the chunk must not blur a later one.
    total_BCHL = log_decay_BCHL.double().cumsum(-1)

    # Within a chunk: y_t = Σ_s≤t (C_t·B_s) exp(total_t − total_s) x_s.
    scores_BCGLL = (C_BCGLN @ B_BCGLN.mT).masked_fill(~mask, 0)
    weights_BCGRLL: Tensor = _DecayedScores.apply(  # type: ignore[no-untyped-call]
        scores_BCGLL, torch.unflatten(total_BCHL, 2, groups)
    )
    y_BCHLP = weights_BCGRLL.flatten(2, 3) @ x_BCLHP.transpose(2, 3)

    # Σ_s exp(total_L − total_s) x_s B_sᵀ is what the chunk adds to the state, heads of a group side by side.
    to_end_BCHL = (total_BCHL[..., -1:] - total_BCHL).to(dtype).exp()
    from_start_BCHL = total_BCHL.to(dtype).exp()
    through_BCH = from_start_BCHL[..., -1]
    if cut is not None:
        to_end_BCHL = to_end_BCHL * cut.last[:, :, None]
        before_BCHL = (total_BCHL - log_decay_BCHL).gather(-1, cut.first[:, :, None].expand_as(total_BCHL))
        from_start_BCHL = (total_BCHL - before_BCHL).to(dtype).exp()
        through_BCH = through_BCH * cut.unbroken[..., None]
    initial_BGNRP = torch.unflatten(state_BHPN, 1, groups).permute(0, 1, 4, 2, 3)
    to_state_BCGLC = torch.unflatten(x_BCLHP * to_end_BCHL.mT[..., None], 3, groups).transpose(2, 3).flatten(4)
    added_BCGNRP = torch.unflatten(B_BCGLN.mT @ to_state_BCGLC, -1, heads)
    if cut is not None:
        restarted_BCH = from_start_BCHL[..., -1] * ~cut.unbroken[..., None]
        added_BCGNRP = added_BCGNRP + initial_BGNRP[:, None] * _over_states(restarted_BCH, groups)
    states_CBGNRP, last_BGNRP = linear_scan(
        _over_states(through_BCH, groups).transpose(0, 1), added_BCGNRP.transpose(0, 1), initial_BGNRP
    )

    # What the state at its document's or its chunk's start adds to an output.
    carried_BCGLC = C_BCGLN @ states_CBGNRP.transpose(0, 1).flatten(4)
    if cut is not None:
        restarted_BCGLC = C_BCGLN @ initial_BGNRP[:, None].flatten(4)
        carried_BCGLC = torch.where(cut.continued[:, :, None, :, None], carried_BCGLC, restarted_BCGLC)
    carried_BCLHP = torch.unflatten(carried_BCGLC.transpose(2, 3), -1, heads).flatten(3, 4)
    y_BCLHP = y_BCHLP.transpose(2, 3) + carried_BCLHP * from_start_BCHL.mT[..., None]
    return chunking.join(y_BCLHP), last_BGNRP.permute(0, 1, 3, 4, 2).flatten(1, 2)


def _over_states(factor_BCH: Tensor, groups: tuple[int, int]) -> Tensor:
    """Return a factor a head as [B, C, G, 1, R, 1]."""
    return torch.unflatten(factor_BCH, 2, groups)[:, :, :, None, :, None]


class _DecayedScores(torch.autograd.Function):
    """scores[t, s] · exp(total_t − total_s) for s ≤ t, where the scores of s > t are zero already."""

    @staticmethod
    def forward(ctx: Any, scores_BCGLL: Tensor, total_BCGRL: Tensor) -> Tensor:
        difference = (total_BCGRL[..., :, None] - total_BCGRL[..., None, :]).to(scores_BCGLL.dtype)
        decay_BCGRLL = difference.clamp_(max=0).exp_()
        ctx.save_for_backward(scores_BCGLL, decay_BCGRLL)
        return scores_BCGLL[:, :, :, None] * decay_BCGRLL

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        scores_BCGLL, decay_BCGRLL = ctx.saved_tensors
        grad_BCGRLL = grads[0] * decay_BCGRLL
        grad_scores_BCGLL = grad_BCGRLL.sum(3)
        grad_BCGRLL.mul_(scores_BCGLL[:, :, :, None])
        return grad_scores_BCGLL, grad_BCGRLL.sum(-1, dtype=torch.float64) - grad_BCGRLL.sum(-2, dtype=torch.float64)
