"""The delta rule in chunks: a triangular system within each, a short recurrence between them [DeltaNet, section 3].

Within a chunk that starts from state S, the errors E = (I + tril(β K Kᵀ, −1))⁻¹ β (V − K S) solve all updates at once;
so E = U − W S with U and W known before S is. Equal to `reference.recurrent` up to rounding.
"""

from typing import Any, Final

import torch
from torch import Tensor

from operators.chunks import Chunking, DocumentChunks, causal_mask
from operators.context import Documents

CHUNK_TOKENS: Final = 32


def chunked(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    beta_BTH: Tensor,
    *,
    state_BHKV: Tensor,
    documents: Documents | None = None,
    chunk_tokens: int = CHUNK_TOKENS,
) -> tuple[Tensor, Tensor]:
    """Return the outputs [B, T, H, V] and the state after the last token.

    Every document of a packed row starts from `state_BHKV`.
    """
    batch, tokens, num_heads, _ = q_BTHK.shape
    chunking = Chunking.of(tokens, longest=chunk_tokens)
    # From here on X stands for batch × heads; chunks come first because the recurrence walks over them.
    q_CXLK, k_CXLK, v_CXLV, beta_CXL1 = (
        _chunks_first(chunking.split(x)) for x in (q_BTHK, k_BTHK, v_BTHV, beta_BTH[..., None])
    )
    initial_XKV = state_BHKV.flatten(0, 1)
    overlap_CXLL = (beta_CXL1 * k_CXLK) @ k_CXLK.mT
    scores_CXLL = q_CXLK @ k_CXLK.mT
    mask = causal_mask(chunking.chunk_tokens, device=q_BTHK.device)
    cut = None if documents is None else _Cut(DocumentChunks.of(documents.segment, chunking), num_heads=num_heads)
    if cut is not None:
        overlap_CXLL, mask = overlap_CXLL * cut.together, mask & cut.together

    solve_CXLL: Tensor = _UnitLowerInverse.apply(overlap_CXLL)  # type: ignore[no-untyped-call]
    solve_CXLL = solve_CXLL * beta_CXL1.mT
    U_CXLV, W_CXLK = solve_CXLL @ v_CXLV, solve_CXLL @ k_CXLK
    reading_CXLK, writing_CXLK, kept = q_CXLK, k_CXLK, None
    if cut is not None:
        U_CXLV = U_CXLV - (W_CXLK * ~cut.continued) @ initial_XKV
        W_CXLK, reading_CXLK, writing_CXLK = W_CXLK * cut.continued, q_CXLK * cut.continued, k_CXLK * cut.last
        kept = cut.unbroken
    error_CXLV, state_CXKV, final_XKV = _Walk.apply(  # type: ignore[no-untyped-call]
        U_CXLV, W_CXLK, writing_CXLK, initial_XKV, kept
    )
    y_CXLV = reading_CXLK @ state_CXKV + scores_CXLL.masked_fill(~mask, 0) @ error_CXLV
    if cut is not None:
        y_CXLV = y_CXLV + (q_CXLK * ~cut.continued) @ initial_XKV
    y_BCLHV = torch.unflatten(y_CXLV, 1, (batch, num_heads)).permute(1, 0, 3, 2, 4)
    return chunking.join(y_BCLHV), torch.unflatten(final_XKV, 0, (batch, num_heads))


def _chunks_first(x_BCLHK: Tensor) -> Tensor:
    return x_BCLHK.permute(1, 0, 3, 2, 4).flatten(1, 2).contiguous()


class _Cut:
    """Document boundaries with the axes of the chunked tensors."""

    def __init__(self, documents: DocumentChunks, *, num_heads: int) -> None:
        def chunks_first(flag_BC: Tensor) -> Tensor:
            return flag_BC.transpose(0, 1).repeat_interleave(num_heads, dim=1)

        self.together = chunks_first(documents.together)
        self.continued = chunks_first(documents.continued)[..., None]
        self.last = chunks_first(documents.last)[..., None]
        self.unbroken = chunks_first(documents.unbroken)[..., None, None]


class _UnitLowerInverse(torch.autograd.Function):
    """(I + tril(A, −1))⁻¹."""

    @staticmethod
    def forward(ctx: Any, A: Tensor) -> Tensor:
        identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device).expand_as(A)
        inverse: Tensor = torch.linalg.solve_triangular(A, identity, upper=False, unitriangular=True)
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (inverse,) = ctx.saved_tensors
        grad: Tensor = (inverse.mT @ grads[0] @ inverse.mT).tril_(-1).neg_()
        return grad


class _Walk(torch.autograd.Function):
    """E_c = U_c − W_c S_c and S_{c+1} = S_c + K_cᵀ E_c over chunks; S_0 takes the place of S_c where it is not kept.

    Returns E and S of every chunk and the last state.
    """

    @staticmethod
    def forward(ctx: Any, U: Tensor, W: Tensor, K: Tensor, initial: Tensor, kept: Tensor | None) -> Any:
        errors = torch.empty_like(U)
        states = torch.empty(U.shape[0] + 1, *initial.shape, dtype=U.dtype, device=U.device)
        states[0] = initial
        for c in range(U.shape[0]):
            torch.baddbmm(U[c], W[c], states[c], alpha=-1, out=errors[c])
            base = states[c] if kept is None else torch.where(kept[c], states[c], initial)
            torch.baddbmm(base, K[c].mT, errors[c], out=states[c + 1])
        ctx.save_for_backward(W, K, errors, states, kept)
        ctx.set_materialize_grads(False)
        return errors, states[:-1], states[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        W, K, errors, states, kept = ctx.saved_tensors
        from_errors = torch.zeros_like(errors) if grads[0] is None else grads[0]
        from_states = torch.zeros_like(states[:-1]) if grads[1] is None else grads[1]
        grad_errors, grad_states = torch.empty_like(errors), torch.empty_like(states)
        if grads[2] is None:
            grad_states[-1].zero_()
        else:
            grad_states[-1].copy_(grads[2])
        for c in range(W.shape[0] - 1, -1, -1):
            torch.baddbmm(from_errors[c], K[c], grad_states[c + 1], out=grad_errors[c])
            torch.baddbmm(from_states[c], W[c].mT, grad_errors[c], alpha=-1, out=grad_states[c])
            grad_states[c].add_(grad_states[c + 1] if kept is None else grad_states[c + 1] * kept[c])
        grad_initial = grad_states[0]
        if kept is not None:
            grad_initial = grad_initial + (grad_states[1:] * ~kept).sum(0)
        return grad_errors, (grad_errors @ states[:-1].mT).neg_(), errors @ grad_states[1:].mT, grad_initial, None
