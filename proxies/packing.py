"""Packed documents kept apart: a model that reads each of a sequence's documents as if it stood alone.

Where documents end is seen in the tokens; how operators keep them apart is `operators/context.py`.
"""

import torch
from torch import Tensor, nn

from operators.model import HybridLM


class ReadsApart(nn.Module):
    """A language model that forgets at every end of a document; its parameters are the model's own."""

    def __init__(self, model: HybridLM, *, end_of_document: int) -> None:
        """Read with a model.

        Args:
            model: reads.
            end_of_document: token that closes a document, the last one that is of it.
        """
        super().__init__()
        self.model = model
        self._end_of_document = end_of_document

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return the logits [B, T, V] of the next token at every position, from those of its document before it."""
        logits_BTV: Tensor = self.model(tokens_BT, document_ids_BT=document_ids(tokens_BT, self._end_of_document))
        return logits_BTV


def document_ids(tokens_BT: Tensor, end_of_document: int) -> Tensor:
    """Return by token how many documents of its sequence ended before it, [B, T]."""
    ended_BT = (tokens_BT == end_of_document).cumsum(dim=1)
    return torch.cat((torch.zeros_like(ended_BT[:, :1]), ended_BT[:, :-1]), dim=1)
