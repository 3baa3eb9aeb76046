"""How a recurrent mixer runs over a sequence: from nothing, from a state, or over packed documents.

What a mixer computes is its own affair; here is only which memory it starts from and where that memory goes.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from operators.context import Documents, SequenceContext


class Memory(Protocol):
    """The two tensors every recurrent mixer keeps."""

    history: Tensor
    """Last inputs of the convolution."""

    carried: Tensor
    """Recurrent state, float32."""


Mix = Callable[..., tuple[Tensor, Tensor, Tensor]]
"""One stretch of a recurrent mixer, a pure function `mix(*streams, history=, carried=, documents=)`.

Returns the outputs [B, T, …], and history and carried state after the last token; absent ones are zeros.
"""


def run(mix: Mix, *streams: Tensor, memory: Memory | None, context: SequenceContext) -> Tensor:
    """Return the outputs for projected inputs [B, T, …], moving `memory` on in place."""
    if context.documents is not None:
        num_meta = context.meta_tokens_before_documents(memory)
        return _run_documents(mix, streams, num_meta_tokens=num_meta, documents=context.documents)
    if memory is None:
        return mix(*streams, history=None, carried=None, documents=None)[0]
    y_BT, history, carried = mix(*streams, history=memory.history, carried=memory.carried, documents=None)
    with torch.no_grad():
        memory.history.copy_(history)
        memory.carried.copy_(carried)
    return y_BT


def _run_documents(mix: Mix, streams: tuple[Tensor, ...], *, num_meta_tokens: int, documents: Documents) -> Tensor:
    """Run the meta tokens once; every document starts from what they leave."""
    if not num_meta_tokens:
        return mix(*streams, history=None, carried=None, documents=documents)[0]
    meta = (x[:, :num_meta_tokens] for x in streams)
    rest = (x[:, num_meta_tokens:] for x in streams)
    y_BM, history, carried = mix(*meta, history=None, carried=None, documents=None)
    return torch.cat((y_BM, mix(*rest, history=history, carried=carried, documents=documents)[0]), dim=1)
