"""The delta rule in chunks: a triangular system within each, a short recurrence between them.

Within a chunk that starts from state S, the errors E = (I + tril(β K Kᵀ ∘ D, −1))⁻¹ β (V − γ K S) solve all updates at
once, D_ts = α_{s+1}…α_t being the decay between two tokens and γ_t = α_1…α_t that since the chunk began (both 1 without
decay); so E = U − W S with U and W known before S is [DeltaNet, section 3; gated: arXiv 2412.06464, section 3.3].
The walks over chunks are operations of their own, which torch.compile does not look into. Equal to
`reference.recurrent` up to rounding.
"""

from typing import Any, Final

import torch
from torch import Tensor

from operators.chunks import Chunking, DocumentChunks, causal_mask
from operators.context import Documents
from operators.once_differentiable import once_differentiable
from operators.opaque import opaque

CHUNK_TOKENS: Final = 32


def chunked(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    beta_BTH: Tensor,
    *,
    log_decay_BTH: Tensor | None = None,
    state_BHKV: Tensor,
    documents: Documents | None = None,
    chunk_tokens: int = CHUNK_TOKENS,
) -> tuple[Tensor, Tensor]:
    """Return the outputs [B, T, H, V] and the state after the last token.

    Every document of a packed row starts from `state_BHKV`. Logarithms of decays are never positive.
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
    reading_CXLK, recalling_CXLK, writing_CXLK, through_CX11 = q_CXLK, k_CXLK, k_CXLK, None
    if log_decay_BTH is not None:
        decay = _Decay(_chunks_first(chunking.split(log_decay_BTH[..., None])), cut=cut)
        overlap_CXLL, scores_CXLL = overlap_CXLL * decay.between_CXLL, scores_CXLL * decay.between_CXLL
        reading_CXLK, recalling_CXLK = q_CXLK * decay.from_start_CXL1, k_CXLK * decay.from_start_CXL1
        writing_CXLK, through_CX11 = k_CXLK * decay.to_end_CXL1, decay.from_start_CXL1[:, :, -1:]

    solve_CXLL: Tensor = _UnitLowerInverse.apply(overlap_CXLL)  # type: ignore[no-untyped-call]
    solve_CXLL = solve_CXLL * beta_CXL1.mT
    U_CXLV, W_CXLK = solve_CXLL @ v_CXLV, solve_CXLL @ recalling_CXLK
    kept = restarted_CXLK = None
    if cut is not None:
        U_CXLV = U_CXLV - (W_CXLK * ~cut.continued) @ initial_XKV
        restarted_CXLK = reading_CXLK * ~cut.continued
        W_CXLK, reading_CXLK, writing_CXLK = (
            W_CXLK * cut.continued,
            reading_CXLK * cut.continued,
            writing_CXLK * cut.last,
        )
        kept = cut.unbroken
    error_CXLV, state_CXKV, final_XKV = _Walk.apply(  # type: ignore[no-untyped-call]
        U_CXLV, W_CXLK, writing_CXLK, initial_XKV, kept, through_CX11
    )
    y_CXLV = reading_CXLK @ state_CXKV + scores_CXLL.masked_fill(~mask, 0) @ error_CXLV
    if restarted_CXLK is not None:
        y_CXLV = y_CXLV + restarted_CXLK @ initial_XKV
    y_BCLHV = torch.unflatten(y_CXLV, 1, (batch, num_heads)).permute(1, 0, 3, 2, 4)
    return chunking.join(y_BCLHV), torch.unflatten(final_XKV, 0, (batch, num_heads))


def _chunks_first(x_BCLHK: Tensor) -> Tensor:
    return x_BCLHK.permute(1, 0, 3, 2, 4).flatten(1, 2).contiguous()


class _Cut:
    """Document boundaries with the axes of the chunked tensors."""

    def __init__(self, documents: DocumentChunks, *, num_heads: int) -> None:
        def chunks_first(flag_BC: Tensor) -> Tensor:
            return flag_BC.transpose(0, 1).repeat_interleave(num_heads, dim=1)

        self.first = chunks_first(documents.first)[..., None]
        self.together = chunks_first(documents.together)
        self.continued = chunks_first(documents.continued)[..., None]
        self.last = chunks_first(documents.last)[..., None]
        self.unbroken = chunks_first(documents.unbroken)[..., None, None]


class _Decay:
    """What is left of a state between two tokens, since the chunk or the token's document began, and at its end."""

    def __init__(self, log_decay_CXL1: Tensor, *, cut: _Cut | None) -> None:
        # Differences of running sums: in float64, since a large decay earlier in the chunk must not blur a later one.
        total_CXL1 = log_decay_CXL1.double().cumsum(2)
        since_CXL1 = total_CXL1
        if cut is not None:
            since_CXL1 = total_CXL1 - (total_CXL1 - log_decay_CXL1).gather(2, cut.first)
        dtype = log_decay_CXL1.dtype
        # Above the diagonal nothing is read; there the clamp keeps exp finite.
        self.between_CXLL = (total_CXL1 - total_CXL1.mT).to(dtype).clamp(max=0).exp()
        self.from_start_CXL1 = since_CXL1.to(dtype).exp()
        self.to_end_CXL1 = (total_CXL1[:, :, -1:] - total_CXL1).to(dtype).exp()


class _UnitLowerInverse(torch.autograd.Function):
    """(I + tril(A, −1))⁻¹."""

    @staticmethod
    def forward(ctx: Any, A: Tensor) -> Tensor:
        identity = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device).expand_as(A)
        inverse: Tensor = torch.linalg.solve_triangular(A, identity, upper=False, unitriangular=True)
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (inverse,) = ctx.saved_tensors
        grad: Tensor = (inverse.mT @ grads[0] @ inverse.mT).tril_(-1).neg_()
        return grad


class _Walk(torch.autograd.Function):
    """E_c = U_c − W_c S_c and S_{c+1} = γ_c S_c + K_cᵀ E_c over chunks.

    S_0 takes the place of S_c in γ_c S_c where it is not kept; γ is absent where nothing decays. Returns E and S of
    every chunk and the last state.
    """

    @staticmethod
    def forward(
        ctx: Any, U: Tensor, W: Tensor, K: Tensor, initial: Tensor, kept: Tensor | None, through: Tensor | None
    ) -> Any:
        errors, states = _walk(U, W, K, initial, kept, through)
        ctx.save_for_backward(W, K, errors, states, kept, through)
        ctx.set_materialize_grads(False)
        return errors, states[:-1], states[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        W, K, errors, states, kept, through = ctx.saved_tensors
        from_errors = torch.zeros_like(errors) if grads[0] is None else grads[0]
        from_states = torch.zeros_like(states[:-1]) if grads[1] is None else grads[1]
        grad_errors, grad_states = _walk_back(W, K, from_errors, from_states, grads[2], kept, through)
        grad_base = grad_states[1:] if through is None else grad_states[1:] * through
        grad_initial, base = grad_states[0], states[:-1]
        if kept is not None:
            grad_initial = grad_initial + (grad_base * ~kept).sum(0)
            base = torch.where(kept, base, states[0])
        grad_through = None if through is None else (grad_states[1:] * base).sum((-2, -1), keepdim=True)
        grad_W = (grad_errors @ states[:-1].mT).neg_()
        return grad_errors, grad_W, errors @ grad_states[1:].mT, grad_initial, None, grad_through


def _empty_walk(
    U: Tensor, W: Tensor, K: Tensor, initial: Tensor, kept: Tensor | None, through: Tensor | None
) -> tuple[Tensor, Tensor]:
    del W, K, kept, through
    return U.new_empty(U.shape), U.new_empty(U.shape[0] + 1, *initial.shape)


@opaque("delta_walk", like=_empty_walk)
def _walk(
    U: Tensor, W: Tensor, K: Tensor, initial: Tensor, kept: Tensor | None, through: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return E of every chunk [C, …], and S before the first and after every chunk [C + 1, …]."""
    errors, states = _empty_walk(U, W, K, initial, kept, through)
    states[0] = initial
    for c in range(U.shape[0]):
        torch.baddbmm(U[c], W[c], states[c], alpha=-1, out=errors[c])
        base = states[c] if kept is None else torch.where(kept[c], states[c], initial)
        if through is not None:
            base = base * through[c]
        torch.baddbmm(base, K[c].mT, errors[c], out=states[c + 1])
    return errors, states


def _empty_walk_back(
    W: Tensor,
    K: Tensor,
    from_errors: Tensor,
    from_states: Tensor,
    from_last: Tensor | None,
    kept: Tensor | None,
    through: Tensor | None,
) -> tuple[Tensor, Tensor]:
    del K, from_last, kept, through
    return W.new_empty(from_errors.shape), W.new_empty(W.shape[0] + 1, *from_states.shape[1:])


@opaque("delta_walk_backward", like=_empty_walk_back)
def _walk_back(
    W: Tensor,
    K: Tensor,
    from_errors: Tensor,
    from_states: Tensor,
    from_last: Tensor | None,
    kept: Tensor | None,
    through: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return the gradients of E, and of S, of which the last is that of the last state."""
    grad_errors, grad_states = _empty_walk_back(W, K, from_errors, from_states, from_last, kept, through)
    if from_last is None:
        grad_states[-1].zero_()
    else:
        grad_states[-1].copy_(from_last)
    for c in range(W.shape[0] - 1, -1, -1):
        torch.baddbmm(from_errors[c], K[c], grad_states[c + 1], out=grad_errors[c])
        torch.baddbmm(from_states[c], W[c].mT, grad_errors[c], alpha=-1, out=grad_states[c])
        onward = grad_states[c + 1] if through is None else grad_states[c + 1] * through[c]
        grad_states[c].add_(onward if kept is None else onward * kept[c])
    return grad_errors, grad_states
