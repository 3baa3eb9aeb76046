"""Attention between its projections: norms, rotation, cache, softmax.

Shared by the attention layer and the hybrid head, which project differently.
"""

import torch
from torch import Tensor, nn

from operators.attention.backends import attend_fused, attend_one
from operators.attention.reference import attend, gated
from operators.attention.sight import Sight, Span, take
from operators.attention.state import KeyValueState, cache_of
from operators.backends import BackendChoice
from operators.base import StateRequest
from operators.context import Documents, KeyValues, SequenceContext
from operators.norms import RMSNorm
from operators.rotary import frequencies, rotate, rotations
from search_spaces.specs import AttentionSpec


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
        self._frequencies: Tensor | None = None

    @property
    def widths(self) -> list[int]:
        """Channels of q, of k and v if they are its own, and of the gate if there is one, as they are projected."""
        spec = self.spec
        queries = spec.num_heads * spec.head_dim
        own = [spec.num_kv_heads * spec.head_dim, spec.num_kv_heads * spec.value_dim]
        return [
            queries,
            *(own if spec.shares_kv_with is None else []),
            *([self.output_width] if spec.output_gate else []),
        ]

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
        q_BTHK, own, gate_BTI = self._split(qkv_BTC, rotation)
        if own is None:
            key_values = context.shared(_source(self.spec))
        else:
            key_values = KeyValues(*own)
            if state is not None:
                key_values = state.extend(*own, start=start, window=self.cache_window)
            context.publish(key_values)
        sight = Sight(
            start=start,
            num_queries=tokens,
            num_keys=key_values.keys.shape[1],
            num_meta_tokens=context.num_meta_tokens,
            window=self.spec.window,
            documents=documents,
        )
        y_BTI = self._attend(q_BTHK, key_values, sight).flatten(2)
        return y_BTI if gate_BTI is None else gated(y_BTI, gate_BTI)

    def step(self, qkv_BC: Tensor, state: KeyValueState) -> Tensor:
        """Return the heads' outputs side by side for one token, [B, H·V]."""
        backend = self.backends.at("step", qkv_BC)
        if backend == "triton":
            return self._fused_step(qkv_BC, state)
        last = state.position if self.spec.shares_kv_with is None else state.position - 1
        q_BTHK, own, gate_B1I = self._split(qkv_BC[:, None], self._rotation(last[None], kept=True))
        if own is not None:
            last = last.clone()
            state.append(own[0][:, 0], own[1][:, 0])
        seen, mask_S = state.seen_by(last, window=self.spec.window)
        if backend == "reference":
            sees = torch.ones_like(seen.keys[0, :, 0, 0], dtype=torch.bool) if mask_S is None else mask_S
            y_B1HV = attend(q_BTHK, *seen, mask=sees[None])
        else:
            y_B1HV = attend_one(q_BTHK, *seen, mask_S=mask_S)
        y_BI = y_B1HV[:, 0].flatten(1)
        return y_BI if gate_B1I is None else gated(y_BI, gate_B1I[:, 0])

    def _fused_step(self, qkv_BC: Tensor, state: KeyValueState) -> Tensor:
        from operators.attention.kernels import attention_step, new_scratch

        spec = self.spec
        has_own_kv = spec.shares_kv_with is None
        if has_own_kv:
            state.require_room_for_one()
        if spec.num_heads not in state.scratch:
            state.scratch[spec.num_heads] = new_scratch(state.keys, state.values, num_heads=spec.num_heads)
        norm = None
        if self.q_norm is not None:
            norm = (self.q_norm.weight, self.q_norm.weight if self.k_norm is None else self.k_norm.weight)
        return attention_step(
            qkv_BC,
            keys_BSGK=state.keys,
            values_BSGV=state.values,
            position=state.position,
            num_heads=spec.num_heads,
            num_meta_tokens=state.num_meta_tokens,
            window=spec.window,
            wraps=state.wraps,
            has_own_kv=has_own_kv,
            is_gated=spec.output_gate,
            scratch=state.scratch[spec.num_heads],
            norm=norm,
            norm_eps=0.0 if self.q_norm is None else self.q_norm.eps,
            frequency_F=None if spec.rope_theta is None else self._kept_frequencies(qkv_BC.device),
        )

    def _start(self, state: KeyValueState | None, context: SequenceContext, *, tokens: int) -> int:
        if state is None:
            return 0
        if context.documents is not None:
            context.meta_tokens_before_documents(state)
        if context.start is not None:
            return context.start
        # A sharing operator runs after its source has moved the cache on.
        return int(state.position) - (tokens if self.spec.shares_kv_with is not None else 0)

    def _rotation(self, positions: Tensor, *, kept: bool = False) -> tuple[Tensor, Tensor] | None:
        if self.spec.rope_theta is None:
            return None
        # A step would spend as long on its frequencies as on its rotation. Not a buffer: those must be loaded or made
        # anew wherever a model leaves the meta device.
        known = self._kept_frequencies(positions.device) if kept else frequencies(self.spec, device=positions.device)
        return rotations(known, positions)

    def _kept_frequencies(self, device: torch.device) -> Tensor:
        if self._frequencies is None or self._frequencies.device != device:
            with torch.inference_mode(False):
                self._frequencies = frequencies(self.spec, device=device)
        return self._frequencies

    def _split(
        self, qkv_BTC: Tensor, rotation: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None, Tensor | None]:
        """Return queries, keys and values if they are its own, and the gate if there is one."""
        spec, widths = self.spec, self.widths
        if spec.shares_kv_with is not None:
            q_BTC, *gates = torch.split(qkv_BTC, widths, dim=-1) if spec.output_gate else (qkv_BTC,)
            return self._prepare(q_BTC, [self.q_norm], rotation)[0], None, gates[0] if gates else None
        queries, keys, *others = widths
        qk_BTC, v_BTC, *gates = torch.split(qkv_BTC, [queries + keys, *others], dim=-1)
        q_BTHK, k_BTGK = self._prepare(qk_BTC, [self.q_norm, self.k_norm], rotation)
        own = (k_BTGK, torch.unflatten(v_BTC, -1, (spec.num_kv_heads, spec.value_dim)))
        return q_BTHK, own, gates[0] if gates else None

    def _prepare(
        self, flat_BTC: Tensor, norms: list[RMSNorm | None], rotation: tuple[Tensor, Tensor] | None
    ) -> list[Tensor]:
        """Return normalised and rotated heads: of queries, or of queries and keys, which are rotated together."""
        heads_BTHK = torch.unflatten(flat_BTC, -1, (-1, self.spec.head_dim))
        num_heads = [self.spec.num_heads, self.spec.num_kv_heads][: len(norms)]
        if self.spec.qk_norm:
            parts = zip(norms, torch.split(heads_BTHK, num_heads, dim=-2), strict=True)
            heads_BTHK = torch.cat([part if norm is None else norm(part) for norm, part in parts], dim=-2)
        if rotation is not None:
            heads_BTHK = rotate(heads_BTHK, *rotation)
        return list(torch.split(heads_BTHK, num_heads, dim=-2))

    def _attend(self, q_BTHK: Tensor, kv: KeyValues, sight: Sight) -> Tensor:
        if self.backends.at("sequence", q_BTHK) != "reference":
            return attend_fused(q_BTHK, kv.keys, kv.values, sight=sight)
        mask = sight.mask(Span(0, sight.num_queries), device=q_BTHK.device)
        reach = sight.reach(Span(0, sight.num_queries))
        keys, values = (take(x, reach, num_prefix=sight.num_prefix) for x in kv)
        return attend(q_BTHK, keys, values, mask=mask)


def _source(spec: AttentionSpec) -> int:
    assert spec.shares_kv_with is not None
    return spec.shares_kv_with


def _document_positions(position_T: Tensor, context: SequenceContext) -> Tensor:
    """Return positions as each document would have them alone behind the meta tokens, [B, T]."""
    documents: Documents | None = context.documents
    assert documents is not None
    meta_BM = position_T[: context.num_meta_tokens].expand(documents.offset.shape[0], -1)
    return torch.cat((meta_BM, documents.offset + context.num_meta_tokens), dim=1)
