"""How a recurrent mixer runs over a sequence: from nothing, from a state, or over packed documents.

What a mixer computes is its own affair; here is only which memory it starts from and where that memory goes.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from operators.context import Documents, SequenceContext
from operators.recurrent_state import RecurrentState

Mix = Callable[..., tuple[Tensor, Tensor, Tensor]]
"""One stretch of a recurrent mixer, a pure function `mix(*streams, history=, carried=, documents=)`.

Returns the outputs [B, T, …], and history and carried state after the last token; absent ones are zeros.
"""


def run(mix: Mix, *streams: Tensor, memory: RecurrentState | None, context: SequenceContext) -> Tensor:
    """Return the outputs for projected inputs [B, T, …], moving `memory` on in place."""
    if context.documents is not None:
        num_meta = context.meta_tokens_before_documents(memory)
        return _run_documents(mix, streams, num_meta_tokens=num_meta, documents=context.documents)
    if memory is None:
        return mix(*streams, history=None, carried=None, documents=None)[0]
    # What a backward pass keeps must not change when the memory moves on.
    kept = (x.clone() if torch.is_grad_enabled() else x for x in (memory.history, memory.carried))
    y_BT, history, carried = mix(*streams, **dict(zip(("history", "carried"), kept, strict=True)), documents=None)
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
