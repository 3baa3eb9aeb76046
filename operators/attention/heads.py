"""Attention between its projections: norms, rotation, cache, softmax.

Shared by the attention layer and the hybrid head, which project differently.
"""

from typing import Final

import torch
from torch import Tensor, nn

from operators.attention.backends import attend_fused, attend_in_blocks
from operators.attention.reference import attend, same_document, visible
from operators.attention.state import KeyValueState, cache_of
from operators.backends import BackendChoice
from operators.base import StateRequest
from operators.context import Documents, KeyValues, SequenceContext
from operators.norms import RMSNorm
from operators.rotary import rotate, rotations
from search_spaces.specs import AttentionSpec

BLOCKS_FROM_WINDOWS: Final = 2
"""Sequences longer than this many windows are attended in blocks."""


class AttentionHeads(nn.Module):
    """Everything of attention that is not a projection of the residual stream."""

    def __init__(self, spec: AttentionSpec, *, norm_eps: float, backends: BackendChoice) -> None:
        super().__init__()
        self.spec = spec
        self.backends = backends
        self.q_norm = RMSNorm(spec.head_dim, eps=norm_eps) if spec.qk_norm else None
        self.k_norm = RMSNorm(spec.head_dim, eps=norm_eps) if spec.qk_norm and spec.shares_kv_with is None else None
        self.cache_window = spec.window
        """Tokens the cache must keep; larger than the own window where a later operator that shares it sees more."""

    @property
    def widths(self) -> list[int]:
        """Channels of q, or of q, k and v, that the projection must deliver side by side."""
        spec = self.spec
        queries = spec.num_heads * spec.head_dim
        if spec.shares_kv_with is not None:
            return [queries]
        return [queries, spec.num_kv_heads * spec.head_dim, spec.num_kv_heads * spec.value_dim]

    @property
    def output_width(self) -> int:
        """Channels of the heads' outputs side by side."""
        return self.spec.num_heads * self.spec.value_dim

    def make_state(self, request: StateRequest) -> KeyValueState:
        """Return an empty cache, or the cache of the operator whose keys and values are shared."""
        if request.source is not None:
            return cache_of(request.source)
        return KeyValueState.new(
            request,
            window=self.cache_window,
            num_kv_heads=self.spec.num_kv_heads,
            widths=(self.spec.head_dim, self.spec.value_dim),
        )

    def forward(self, qkv_BTC: Tensor, *, state: KeyValueState | None, context: SequenceContext) -> Tensor:
        """Return the heads' outputs side by side, [B, T, H·V]."""
        tokens = qkv_BTC.shape[1]
        start = self._start(state, context, tokens=tokens)
        documents = context.documents
        position_T = torch.arange(start, start + tokens, device=qkv_BTC.device)
        rotation = self._rotation(_document_positions(position_T, context) if documents else position_T)
        q_BTHK, own = self._split(qkv_BTC, rotation)
        if own is None:
            key_values = context.shared(_source(self.spec))
        else:
            key_values = KeyValues(*own, None)
            if state is not None:
                key_values = state.extend(*own, start=start, window=self.cache_window)
            context.publish(key_values)
        return self._attend(q_BTHK, key_values, position_T, context).flatten(2)

    def step(self, qkv_BC: Tensor, state: KeyValueState) -> Tensor:
        """Return the heads' outputs side by side for one token, [B, H·V]."""
        last = state.position if self.spec.shares_kv_with is None else state.position - 1
        q_BTHK, own = self._split(qkv_BC[:, None], self._rotation(last[None]))
        if own is not None:
            last = last.clone()
            state.append(own[0][:, 0], own[1][:, 0])
        mask = state.visible_slots(last, window=self.spec.window)[None]
        run = attend if self.backends.at("step", q_BTHK) == "reference" else attend_fused
        return run(q_BTHK, state.keys, state.values, mask=mask)[:, 0].flatten(1)

    def _start(self, state: KeyValueState | None, context: SequenceContext, *, tokens: int) -> int:
        if state is None:
            return 0
        if context.documents is not None:
            context.meta_tokens_before_documents(state)
        if context.start is not None:
            return context.start
        # A sharing operator runs after its source has moved the cache on.
        return int(state.position) - (tokens if self.spec.shares_kv_with is not None else 0)

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor] | None:
        return None if self.spec.rope_theta is None else rotations(self.spec, positions)

    def _split(
        self, qkv_BTC: Tensor, rotation: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        parts = torch.split(qkv_BTC, self.widths, dim=-1)
        q_BTHK = self._prepare(parts[0], self.q_norm, rotation)
        if len(parts) == 1:
            return q_BTHK, None
        return q_BTHK, (
            self._prepare(parts[1], self.k_norm, rotation),
            torch.unflatten(parts[2], -1, (self.spec.num_kv_heads, self.spec.value_dim)),
        )

    def _prepare(self, flat_BTC: Tensor, norm: RMSNorm | None, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        heads_BTHK = torch.unflatten(flat_BTC, -1, (-1, self.spec.head_dim))
        if norm is not None:
            heads_BTHK = norm(heads_BTHK)
        return heads_BTHK if rotation is None else rotate(heads_BTHK, *rotation)

    def _attend(self, q_BTHK: Tensor, kv: KeyValues, position_T: Tensor, context: SequenceContext) -> Tensor:
        window, num_meta, tokens = self.spec.window, context.num_meta_tokens, q_BTHK.shape[1]
        fused = self.backends.at("sequence", q_BTHK) != "reference"
        plain = kv.positions is None and context.documents is None
        if fused and plain and (window is None or tokens <= window):
            return attend_fused(q_BTHK, kv.keys, kv.values, mask=None)
        if fused and plain and window is not None and tokens > BLOCKS_FROM_WINDOWS * window:
            return attend_in_blocks(q_BTHK, kv.keys, kv.values, window=window, num_meta_tokens=num_meta)
        key_positions = position_T if kv.positions is None else kv.positions
        mask = visible(position_T, key_positions, window=window, num_meta_tokens=num_meta)
        if context.documents is not None:
            mask = mask & same_document(context.documents, num_meta_tokens=num_meta)
        run = attend_fused if fused else attend
        return run(q_BTHK, kv.keys, kv.values, mask=mask)


def _source(spec: AttentionSpec) -> int:
    assert spec.shares_kv_with is not None
    return spec.shares_kv_with


def _document_positions(position_T: Tensor, context: SequenceContext) -> Tensor:
    """Return positions as each document would have them alone behind the meta tokens, [B, T]."""
    documents: Documents | None = context.documents
    assert documents is not None
    meta_BM = position_T[: context.num_meta_tokens].expand(documents.offset.shape[0], -1)
    return torch.cat((meta_BM, documents.offset + context.num_meta_tokens), dim=1)
