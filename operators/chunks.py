"""How a sequence is cut into equal chunks, and which tokens of a chunk belong to one document.

Chunks are as even as they can be, so an odd length costs at most one padded token a chunk. Compiled, they are of one
length and one more than needed, so that one graph serves any number of tokens. Padding is inert: zeros after the last
token.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """`num_chunks` chunks of `chunk_tokens`."""

    tokens: int
    num_chunks: int
    chunk_tokens: int

    @classmethod
    def of(cls, tokens: int, *, longest: int) -> "Chunking":
        """Cut `tokens` into as few chunks of at most `longest` as possible; into longest ones where compiled."""
        if torch.compiler.is_compiling():
            # Sizes of even chunks divide lengths by lengths, which is slow to reason about. A single chunk, and no
            # padding at all, are what torch makes graphs of their own for: there are always two chunks, and padding.
            return cls(tokens=tokens, num_chunks=tokens // longest + 2, chunk_tokens=longest)
        num_chunks = max(1, -(-tokens // longest))
        return cls(tokens=tokens, num_chunks=num_chunks, chunk_tokens=-(-tokens // num_chunks))

    @property
    def padding(self) -> int:
        """Inert tokens behind the last."""
        return self.num_chunks * self.chunk_tokens - self.tokens

    def split(self, x_BT: Tensor) -> Tensor:
        """Return [B, chunks, tokens of a chunk, …]."""
        if self.padding:
            x_BT = F.pad(x_BT, (0, 0) * (x_BT.ndim - 2) + (0, self.padding))
        return torch.unflatten(x_BT, 1, (self.num_chunks, self.chunk_tokens))

    def join(self, x_BCL: Tensor) -> Tensor:
        """Return [B, T, …] without the padding."""
        return x_BCL.flatten(1, 2)[:, : self.tokens]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentChunks:
    """Where packed documents begin and end within chunks."""

    first: Tensor
    """[B, C, L]: index within the chunk of the earliest token of the token's document."""

    continued: Tensor
    """[B, C, L]: whether the document began before the chunk, so that the token reads the state carried into it."""

    last: Tensor
    """[B, C, L]: whether the document reaches the chunk's end, so that the token writes the state carried out of it."""

    @classmethod
    def of(cls, segment_BT: Tensor, chunking: Chunking) -> "DocumentChunks":
        """Cut running document numbers; document 0 continues what came before the first token.

        Padding belongs to the last document.
        """
        last_BP = segment_BT[:, -1:].expand(-1, chunking.padding)
        segment_BCL = torch.unflatten(torch.cat((segment_BT, last_BP), dim=1), 1, (chunking.num_chunks, -1))
        before_BC = F.pad(segment_BCL[:, :-1, -1], (1, 0))
        is_first_BCL = F.pad(segment_BCL[..., 1:] != segment_BCL[..., :-1], (1, 0), value=True)
        index_L = torch.arange(chunking.chunk_tokens, device=segment_BT.device)
        return cls(
            first=torch.where(is_first_BCL, index_L, 0).cummax(-1).values,
            continued=segment_BCL == before_BC[..., None],
            last=segment_BCL == segment_BCL[..., -1:],
        )

    @property
    def together(self) -> Tensor:
        """[B, C, L, L]: whether two tokens of a chunk lie in one document."""
        return self.first[..., :, None] == self.first[..., None, :]

    @property
    def unbroken(self) -> Tensor:
        """[B, C]: whether one document spans the chunk and began before it: the carried state passes through."""
        return self.continued[..., -1]


def causal_mask(tokens: int, *, device: torch.device) -> Tensor:
    """Return the lower triangle with its diagonal, boolean [L, L]."""
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
