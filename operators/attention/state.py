"""The key-value cache: a ring of the window's length behind the meta tokens, or all tokens without a window."""

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from operators.base import State, StateError, StateRequest
from operators.context import KeyValues
from operators.step_scratch import StepScratch


@final
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

    scratch: dict[int, StepScratch] = field(default_factory=dict)
    """What fused steps of operators with so many query heads work in; made at the first one. Several share a cache."""

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

    @property
    def wraps(self) -> bool:
        """Whether it may hold more tokens than it has slots."""
        return self.keys.shape[1] < self.max_tokens

    def seen_by(self, last: Tensor, *, window: int | None) -> tuple[KeyValues, Tensor | None]:
        """Return keys and values that hold all token `last` sees once it is stored, and which it sees; none if all.

        Args:
            last: Its position, on the device.
            window: Tokens it sees; not more than the cache keeps.
        """
        sees_all_stored = window is None or self._ring <= window
        if last.device.type != "cpu":
            # How many are stored is not known without waiting for the device.
            return KeyValues(self.keys, self.values), self._visible(last, window=None if sees_all_stored else window)
        stored = min(int(last) + 1, self.keys.shape[1])
        key_values = KeyValues(self.keys[:, :stored], self.values[:, :stored])
        return key_values, None if sees_all_stored else self._visible(last, window=window)[:stored]

    def _visible(self, last: Tensor, *, window: int | None) -> Tensor:
        """Return which slots token `last` sees, boolean [S]."""
        slot_S = torch.arange(self.keys.shape[1], device=last.device)
        stored_S = slot_S <= last
        if window is None:
            return stored_S
        age_S = torch.remainder(last - slot_S, self._ring)
        return stored_S & ((age_S < window) | (slot_S < self.num_meta_tokens))

    def append(self, k_BHK: Tensor, v_BHV: Tensor) -> None:
        """Store one token without waiting for the device, and move on.

        Raises:
            StateError: the cache is full; only a cache on the CPU is checked, the caller counts tokens on a device.
        """
        self.require_room_for_one()
        slot_1 = self.position[None]
        if self.wraps:
            slot_1 = self._slots(slot_1)
        self.keys.index_copy_(1, slot_1, k_BHK[:, None].to(self.keys.dtype))
        self.values.index_copy_(1, slot_1, v_BHV[:, None].to(self.values.dtype))
        self.position.add_(1)

    def require_room_for_one(self) -> None:
        """Check that one token fits, on the CPU; on a device that would wait for it, and the caller counts.

        Raises:
            StateError: the cache is full.
        """
        if self.position.device.type == "cpu":
            self._require_room(int(self.position), 1)

    def extend(self, k_BTHK: Tensor, v_BTHV: Tensor, *, start: int, window: int | None) -> KeyValues:
        """Store a chunk that begins at position `start`; return it behind the stored keys it may see.

        Raises:
            StateError: the chunk does not fit.
        """
        tokens, end = k_BTHK.shape[1], start + k_BTHK.shape[1]
        self._require_room(start, tokens)
        keys, values = k_BTHK.to(self.keys.dtype), v_BTHV.to(self.values.dtype)
        in_place = end <= self.keys.shape[1] and not torch.is_grad_enabled()
        if start and not in_place:
            past = self._slots(self._past(start, window=window))
            keys = torch.cat((self.keys[:, past], keys), dim=1)
            values = torch.cat((self.values[:, past], values), dim=1)
        with torch.no_grad():
            self._store(keys[:, -tokens:], values[:, -tokens:], start=start, end=end)
            self.position.add_(tokens)
        if in_place:
            # Nothing has left its slot yet: the cache is in order, and long; no copy, but no gradient either.
            return KeyValues(self.keys[:, :end], self.values[:, :end])
        return KeyValues(keys, values)

    def _store(self, k_BTHK: Tensor, v_BTHV: Tensor, *, start: int, end: int) -> None:
        if end <= self.keys.shape[1]:
            self.keys[:, start:end] = k_BTHK
            self.values[:, start:end] = v_BTHV
            return
        first_kept = max(self.num_meta_tokens, end - self._ring, start)
        kept = self._positions((start, min(self.num_meta_tokens, end)), (first_kept, end))
        self.keys[:, self._slots(kept)] = k_BTHK[:, kept - start]
        self.values[:, self._slots(kept)] = v_BTHV[:, kept - start]

    def _require_room(self, start: int, tokens: int) -> None:
        if start + tokens > self.max_tokens:
            raise StateError(
                f"A state made for max_tokens={self.max_tokens} cannot hold {start} + {tokens} tokens, meta tokens "
                "included. Make it with a larger max_tokens."
            )

    def _past(self, start: int, *, window: int | None) -> Tensor:
        num_meta = min(self.num_meta_tokens, start)
        first = num_meta if window is None else max(num_meta, start - window + 1)
        return self._positions((0, num_meta), (first, start))

    def _positions(self, *spans: tuple[int, int]) -> Tensor:
        device = self.position.device
        return torch.cat([torch.arange(first, max(first, end), device=device) for first, end in spans])

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
