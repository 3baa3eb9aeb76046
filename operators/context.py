"""What an operator is told about the sequence it reads: positions, packed documents, shared keys and values.

Not what it remembers: that is a `State` (`base.py`).
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from search_spaces.errors import SpecError


class KeyValues(NamedTuple):
    """Keys and values of one operator.

    S tokens: the meta tokens, as far as they are there, and an unbroken run of tokens that ends with the last query.
    """

    keys: Tensor
    """[B, S, H, K], rotated and normalised, ready for a dot product."""

    values: Tensor
    """[B, S, H, V]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Documents:
    """Several documents packed into one row after the meta tokens, each computed as if it stood alone."""

    segment: Tensor
    """[B, T], running number of the document, from 0, of every token after the meta tokens."""

    offset: Tensor
    """[B, T], position of the token within its document."""

    @cached_property
    def cu_seqlens(self) -> Tensor:
        """[N + 1], where each document starts when all rows are laid end to end, and the end of the last.

        Counting documents waits for the device, so it is done once for all operators of a call.
        """
        is_first_S = self.offset.flatten() == 0
        return F.pad(is_first_S.nonzero().squeeze(1), (0, 1), value=is_first_S.numel())

    @classmethod
    def from_ids(cls, document_ids_BT: Tensor) -> "Documents":
        """Read documents off ids: a document ends where the id of the next token differs."""
        if document_ids_BT.ndim != 2 or document_ids_BT.is_floating_point():
            raise SpecError(
                "document_ids_BT must be integers of shape [batch, tokens]; got "
                f"{document_ids_BT.dtype} of shape {tuple(document_ids_BT.shape)}."
            )
        is_first_BT = torch.ones_like(document_ids_BT, dtype=torch.bool)
        is_first_BT[:, 1:] = document_ids_BT[:, 1:] != document_ids_BT[:, :-1]
        index_T = torch.arange(document_ids_BT.shape[1], device=document_ids_BT.device)
        start_BT = torch.where(is_first_BT, index_T, 0).cummax(1).values
        return cls(segment=is_first_BT.cumsum(1) - 1, offset=index_T - start_BT)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceContext:
    """The part of a call that all operators of a model share."""

    num_meta_tokens: int = 0
    """Meta tokens at the very start of the sequence (at positions 0 and up); every token may attend to them."""

    start: int | None = None
    """Tokens the state holds already; none means that an operator that must know asks its state, which waits for the
    device."""

    documents: Documents | None = None
    """Packing of the tokens after the meta tokens; only without a state."""

    operator_index: int = 0
    """Index of the operator being called."""

    kv_sources: frozenset[int] = frozenset()
    """Operators whose keys and values a later one shares."""

    key_values: dict[int, KeyValues] = field(default_factory=dict)
    """What those operators made in this call."""

    def at(self, operator_index: int) -> "SequenceContext":
        """Return the same context for another operator; shared keys and values stay shared."""
        return replace(self, operator_index=operator_index)

    def meta_tokens_before_documents(self, state: object | None) -> int:
        """Return how many meta tokens precede the packed documents.

        Raises:
            SpecError: there is a state as well.
        """
        if state is not None:
            raise SpecError("Packed documents need a call without a state; got both. Drop one of them.")
        return self.num_meta_tokens

    def publish(self, key_values: KeyValues) -> None:
        """Keep keys and values if a later operator shares them; where a backward pass makes them again, the first."""
        if self.operator_index in self.kv_sources:
            # Those made again would hold all that their making keeps for the backward pass until the call is over.
            self.key_values.setdefault(self.operator_index, key_values)

    def shared(self, source: int) -> KeyValues:
        """Return the keys and values of operator `source`.

        Raises:
            SpecError: they were not made in this call.
        """
        if source not in self.key_values:
            raise SpecError(
                f"shares_kv_with={source} needs the keys and values of operator {source}; this call holds those of "
                f"{sorted(self.key_values) or 'none'}. Run that operator first in the same context, with "
                f"{source} in kv_sources."
            )
        return self.key_values[source]
