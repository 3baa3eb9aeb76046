"""What every step of a model pays once, whatever its operators: embedding, final norm, head, sampling, the loop.

They are those of a real model with one small operator, so that what is timed is the code that runs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from latency.copies import TORCH_DTYPES
from latency.workload import Dtype
from operators.context import SequenceContext
from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.specs import FFNSpec

SMALL_OPERATOR = FFNSpec(intermediate_size=8, activation="relu2")

Part = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedCalls:
    """Calls that run the same step in two ways; what the whole takes longer than its pieces is overhead."""

    parts: dict[str, Part]
    """Each fixed part alone, by name."""

    pieces: Part
    """The parts and the small operator, one after another."""

    whole: Part
    """The model's own step, and sampling."""


class FixedParts:
    """A model of one small operator, taken apart."""

    backend = "torch"

    def __init__(self, *, hidden_size: int, vocab_size: int, batch_size: int, dtype: Dtype, device: str) -> None:
        architecture = Architecture(hidden_size=hidden_size, operators=(SMALL_OPERATOR,), vocab_size=vocab_size)
        self._model = HybridLM(architecture, seed=0).to(device=device, dtype=TORCH_DTYPES[dtype]).eval()
        self._state = self._model.new_state(
            batch_size=batch_size, max_tokens=1, device=device, dtype=TORCH_DTYPES[dtype]
        )
        self._batch_size = batch_size

    def step(self) -> FixedCalls:
        """Return the calls of one decode step."""
        model, state = self._model, self._state
        layer, layer_state = model.residual_operators[0], state.operators[0]
        tokens_B = self._tokens(self._batch_size)
        parts, x_BD = self._parts(tokens_B, last=lambda x_BD: x_BD)

        def pieces() -> None:
            parts["embedding"]()
            layer.step(x_BD, layer_state)
            for name in ("final_norm", "head", "sampling"):
                parts[name]()

        return FixedCalls(parts=parts, pieces=pieces, whole=lambda: model.step(tokens_B, state).argmax(-1))

    def prefill(self, tokens: int) -> FixedCalls:
        """Return the calls of a prompt of `tokens` tokens."""
        model, state = self._model, self._state
        layer, layer_state = model.residual_operators[0], state.operators[0]
        tokens_BT = self._tokens(self._batch_size, tokens)
        parts, x_BTD = self._parts(tokens_BT, last=lambda x_BTD: x_BTD[:, -1])
        context = SequenceContext(start=0)

        def pieces() -> None:
            parts["embedding"]()
            layer(x_BTD, state=layer_state, context=context.at(0))
            for name in ("final_norm", "head", "sampling"):
                parts[name]()

        return FixedCalls(parts=parts, pieces=pieces, whole=lambda: model.prefill(tokens_BT, state).argmax(-1))

    def _parts(self, tokens: Tensor, *, last: Callable[[Tensor], Tensor]) -> tuple[dict[str, Part], Tensor]:
        model = self._model
        x = F.embedding(tokens, model.embedding)
        normed_BD = model.norm(last(x))
        logits_BV = F.linear(normed_BD, model.head_weight)
        parts: dict[str, Part] = {
            "embedding": lambda: F.embedding(tokens, model.embedding),
            "final_norm": lambda: model.norm(last(x)),
            "head": lambda: F.linear(normed_BD, model.head_weight),
            "sampling": lambda: logits_BV.argmax(-1),
        }
        return parts, x

    def _tokens(self, *shape: int) -> Tensor:
        architecture, device = self._model.architecture, self._model.embedding.device
        return torch.randint(architecture.vocab_size, shape, device=device)
