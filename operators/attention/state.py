"""The key-value cache: a ring of the window's length behind the meta tokens, or all tokens without a window."""

from dataclasses import dataclass

import torch
from torch import Tensor

from operators.base import State, StateError, StateRequest
from operators.context import KeyValues


@dataclass(slots=True, eq=False, kw_only=True)
class KeyValueState(State):
    """Keys and values of one operator.

    Token p lies in slot p while p is a meta token, and in slot M + (p − M) mod (S − M) after that, so a ring of M +
    window slots always holds what the next query may see.
    """

    keys: Tensor
    """[B, S, H, K]."""

    values: Tensor
    """[B, S, H, V]."""

    position: Tensor
    """Tokens stored so far, int64 without axes, on the device."""

    num_meta_tokens: int
    max_tokens: int

    @classmethod
    def new(
        cls, request: StateRequest, *, window: int | None, num_kv_heads: int, widths: tuple[int, int]
    ) -> "KeyValueState":
        """Return an empty cache for keys and values of these `widths`."""
        slots = request.max_tokens if window is None else min(request.max_tokens, request.num_meta_tokens + window)
        keys, values = (
            torch.zeros(request.batch_size, slots, num_kv_heads, width, device=request.device, dtype=request.dtype)
            for width in widths
        )
        return cls(
            keys=keys,
            values=values,
            position=torch.zeros((), dtype=torch.int64, device=request.device),
            num_meta_tokens=request.num_meta_tokens,
            max_tokens=request.max_tokens,
        )

    @property
    def cache(self) -> "KeyValueState":
        """The cache within this state: itself."""
        return self

    @property
    def _ring(self) -> int:
        return max(1, self.keys.shape[1] - self.num_meta_tokens)

    def slot_positions(self, last: Tensor) -> Tensor:
        """Return the position each slot holds once token `last` is stored; negative where none is."""
        slot = torch.arange(self.keys.shape[1], device=last.device)
        latest = last - torch.remainder(last - slot, self._ring)
        in_ring = torch.where(latest >= self.num_meta_tokens, latest, -1)
        return torch.where(slot < self.num_meta_tokens, torch.where(slot <= last, slot, -1), in_ring)

    def append(self, k_BHK: Tensor, v_BHV: Tensor) -> None:
        """Store one token without waiting for the device, and move on."""
        meta, position = self.num_meta_tokens, self.position
        ring_slot = meta + torch.remainder(position - meta, self._ring)
        slot_1 = torch.where(position < meta, position, ring_slot)[None]
        self.keys.index_copy_(1, slot_1, k_BHK[:, None].to(self.keys.dtype))
        self.values.index_copy_(1, slot_1, v_BHV[:, None].to(self.values.dtype))
        self.position.add_(1)

    def extend(self, k_BTHK: Tensor, v_BTHV: Tensor, *, start: int, window: int | None) -> KeyValues:
        """Store a chunk that begins at position `start`; return it behind the stored keys it may see.

        Raises:
            StateError: the chunk does not fit.
        """
        tokens = k_BTHK.shape[1]
        if start + tokens > self.max_tokens:
            raise StateError(
                f"A state made for max_tokens={self.max_tokens} cannot hold {start} + {tokens} tokens. "
                "Make it with a larger max_tokens."
            )
        keys, values = k_BTHK.to(self.keys.dtype), v_BTHV.to(self.values.dtype)
        positions: Tensor | None = None
        if start:
            past = self._past(start, window=window)
            keys = torch.cat((self.keys[:, self._slots(past)], keys), dim=1)
            values = torch.cat((self.values[:, self._slots(past)], values), dim=1)
            positions = torch.cat((past, torch.arange(start, start + tokens, device=past.device)))
        new = torch.arange(start, start + tokens, device=k_BTHK.device)
        kept = new[(new < self.num_meta_tokens) | (new >= start + tokens - self._ring)]
        with torch.no_grad():
            self.keys[:, self._slots(kept)] = keys[:, kept - start - tokens]
            self.values[:, self._slots(kept)] = values[:, kept - start - tokens]
            self.position.add_(tokens)
        return KeyValues(keys, values, positions)

    def _past(self, start: int, *, window: int | None) -> Tensor:
        device = self.position.device
        num_meta = min(self.num_meta_tokens, start)
        first = num_meta if window is None else max(num_meta, start - window + 1)
        return torch.cat((torch.arange(num_meta, device=device), torch.arange(first, start, device=device)))

    def _slots(self, positions: Tensor) -> Tensor:
        meta = self.num_meta_tokens
        return torch.where(positions < meta, positions, meta + torch.remainder(positions - meta, self._ring))


def cache_of(state: State) -> KeyValueState:
    """Return the key-value cache within a state.

    Raises:
        StateError: it holds none.
    """
    cache = getattr(state, "cache", None)
    if not isinstance(cache, KeyValueState):
        raise StateError(
            f"Keys and values can be shared only with an attention or a hybrid head; got a {type(state).__name__}."
        )
    return cache
