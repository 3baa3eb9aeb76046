"""The recurrences in plain torch: selective state space, state-space duality, the delta rule.

Part of the exported file; see `../merging.py`.
"""

import torch
from torch import Tensor

CHUNK_TOKENS = 64


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the outputs of h = exp(dt A) h + dt u Bᵀ, y = h C, and the last h; a token at a time."""
    state = u.new_zeros(u.shape[0], *A.shape) if state is None else state
    outputs = []
    for t in range(u.shape[1]):
        state = torch.exp(dt[:, t, :, None] * A) * state + (dt[:, t] * u[:, t])[..., None] * B[:, t, None]
        outputs.append((state @ C[:, t, :, None]).squeeze(-1))
    return torch.stack(outputs, dim=1), state


def state_space_duality(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the outputs of S = exp(dt A) S + dt x Bᵀ, y = S C, and the last S [B, H, P, N]; chunk by chunk."""
    repeats = x.shape[2] // B.shape[2]
    B, C = (part.repeat_interleave(repeats, dim=2).transpose(1, 2) for part in (B, C))
    x, log_decay = (x * dt[..., None]).transpose(1, 2), (dt * A).mT
    state = x.new_zeros(*x.shape[:2], x.shape[3], B.shape[3]) if state is None else state
    outputs = []
    for t in range(0, x.shape[2], CHUNK_TOKENS):
        x_BHLP, B_BHLN, C_BHLN = (part[:, :, t : t + CHUNK_TOKENS] for part in (x, B, C))
        between, since_start, to_end = _decays(log_decay[:, :, t : t + CHUNK_TOKENS])
        y_BHLP = ((C_BHLN @ B_BHLN.mT) * between) @ x_BHLP
        outputs.append(y_BHLP + (C_BHLN @ state.mT) * since_start[..., None])
        state = since_start[..., -1, None, None] * state + (x_BHLP * to_end[..., None]).mT @ B_BHLN
    return torch.cat(outputs, dim=2).transpose(1, 2), state


def _decays(log_decay_BHL: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what is left from token s at token t [.., t, s], since the chunk began, and at the chunk's end."""
    # Differences of running sums: in float64, since a large decay earlier must not blur a later one.
    total, dtype = log_decay_BHL.double().cumsum(-1), log_decay_BHL.dtype
    between = (total[..., :, None] - total[..., None, :]).to(dtype)
    is_later = torch.ones_like(between[0, 0], dtype=torch.bool).triu(1)
    between = between.masked_fill(is_later, float("-inf")).exp()
    return between, total.to(dtype).exp(), (total[..., -1:] - total).to(dtype).exp()


def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor | None, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the outputs of S = α S + β k (v − (α S)ᵀ k)ᵀ, o = Sᵀ q, and the last S [B, H, K, V]; chunk by chunk."""
    log_decay = torch.zeros_like(beta) if log_decay is None else log_decay
    q, k, v, beta, log_decay = (x.transpose(1, 2) for x in (q, k, v, beta[..., None], log_decay))
    state = k.new_zeros(*k.shape[:2], k.shape[3], v.shape[3]) if state is None else state
    outputs = []
    for t in range(0, q.shape[2], CHUNK_TOKENS):
        q_L, k_L, v_L, beta_L = (x[:, :, t : t + CHUNK_TOKENS] for x in (q, k, v, beta))
        between, since_start, to_end = _decays(log_decay[:, :, t : t + CHUNK_TOKENS])
        # The errors of all tokens at once; the solver takes the diagonal for ones and reads nothing above it.
        overlap = (beta_L * k_L) @ k_L.mT * between
        wanted = beta_L * (v_L - since_start[..., None] * (k_L @ state))
        error = torch.linalg.solve_triangular(overlap, wanted, upper=False, unitriangular=True)
        outputs.append((q_L * since_start[..., None]) @ state + ((q_L @ k_L.mT) * between) @ error)
        state = since_start[..., -1, None, None] * state + (k_L * to_end[..., None]).mT @ error
    return torch.cat(outputs, dim=2).transpose(1, 2), state


def unit(x: Tensor) -> Tensor:
    """Return x divided by its length."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)
