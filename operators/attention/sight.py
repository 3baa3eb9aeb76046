"""Where the queries and keys of one call stand in the sequence, and so who sees whom.

Positions and masks only; the softmax over what is seen is in `reference.py`, faster ones in `backends.py`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from operators.context import Documents


class Span(NamedTuple):
    """Places from `start` to before `stop`. No `range`: that would bind a compiled graph to these numbers."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of places."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sight:
    """T queries and S keys of one sequence.

    The keys are those of the meta tokens, as far as they are there, and of an unbroken run of tokens that ends with the
    last query. A query sees the `window` latest tokens, itself included, and every meta token before it; with packed
    documents only those of its own document, and the meta tokens.
    """

    start: int
    """Position of the first query."""

    num_queries: int
    num_keys: int
    num_meta_tokens: int = 0
    window: int | None = None
    documents: Documents | None = None
    """Packing of the tokens after the meta tokens; only where queries and keys are the whole sequence."""

    @property
    def num_prefix(self) -> int:
        """Keys of meta tokens at the front."""
        return min(self.num_meta_tokens, self.num_keys)

    @property
    def first(self) -> int:
        """Position of the first key behind the prefix."""
        return self.start + self.num_queries - (self.num_keys - self.num_prefix)

    @property
    def is_causal(self) -> bool:
        """Whether a query sees every key up to its own."""
        if self.documents is not None:
            return False
        return self.window is None or self.start + self.num_queries - self.first <= self.window

    def reach(self, queries: Span) -> Span:
        """Return the keys behind the prefix, by index, that some of these queries may see."""
        shift = self.num_prefix - self.first
        low = 0 if self.window is None else self.start + queries.start - self.window + 1 + shift
        low = max(low, self.num_prefix)
        return Span(low, max(low, self.start + queries.stop + shift))

    def mask(self, queries: Span, *, device: torch.device) -> Tensor:
        """Return whether a query sees a key of the prefix or of the reach, [T, S], or [B, T, S] with documents."""
        reach = self.reach(queries)
        ahead = self.start + queries.start
        seen = _band(
            queries.length,
            reach.length,
            ahead=ahead + self.num_prefix - self.first - reach.start,
            window=self.window,
            device=device,
        )
        if self.num_prefix:
            seen = torch.cat(
                (_band(queries.length, self.num_prefix, ahead=ahead, window=None, device=device), seen), dim=1
            )
        return seen if self.documents is None else seen & self._same_document(queries, reach)

    def _same_document(self, queries: Span, reach: Span) -> Tensor:
        """Return which keys lie in the query's document or are meta tokens, [B, T, S]."""
        assert self.documents is not None
        segment_BS = self.documents.segment
        meta_BM = segment_BS.new_full((segment_BS.shape[0], self.num_meta_tokens), -1)
        segment_BS = torch.cat((meta_BM, segment_BS), dim=1)
        assert segment_BS.shape[1] == self.num_keys == self.num_queries
        query_BT = segment_BS[:, queries.start : queries.stop]
        key_BS = take(segment_BS, reach, num_prefix=self.num_prefix)
        return (query_BT[:, :, None] == key_BS[:, None, :]) | (key_BS == -1)[:, None, :]


def take(x_BS: Tensor, reach: Span, *, num_prefix: int) -> Tensor:
    """Return what stands along the key axis, axis 1, at the prefix and at the reach."""
    if reach.start == num_prefix:
        return x_BS[:, : reach.stop]
    return torch.cat((x_BS[:, :num_prefix], x_BS[:, reach.start : reach.stop]), dim=1)


def _band(num_queries: int, num_keys: int, *, ahead: int, window: int | None, device: torch.device) -> Tensor:
    """Return which of an unbroken run of keys the queries see, [T, S]; the first query is `ahead` of the first key."""
    seen = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(ahead)
    return seen if window is None else seen.triu(ahead - window + 1)
