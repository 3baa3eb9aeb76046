"""What every step of a model pays once, whatever its operators: embedding, head, sampling, and what the decoder does.

They are those of a real decoder of a model of one small operator, so that what is timed is the code that runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from latency.copies import TORCH_DTYPES
from latency.rows import OVERHEAD
from latency.runtime import Decoder
from latency.workload import Dtype, Phase
from operators.context import SequenceContext
from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.specs import FFNSpec

SMALL_OPERATOR: Final = FFNSpec(intermediate_size=8, activation="relu2")

MOST_STEPS: Final = 64
"""Steps that a decoder here has room for before it must be rewound."""

Part = Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedCalls:
    """Calls that run the same step in two ways; what the whole takes longer than its pieces is overhead."""

    parts: dict[str, Part]
    """Each fixed part alone, by name."""

    pieces: Part
    """The parts and the small operator, one after another."""

    whole: Part
    """The decoder's own step, or its reading of a prompt."""

    rewind: Callable[[], None]
    """Makes room for `MOST_STEPS` calls of the whole."""


class FixedParts:
    """A decoder of a model of one small operator, taken apart."""

    def __init__(self, *, hidden_size: int, vocab_size: int, batch_size: int, dtype: Dtype, device: str) -> None:
        architecture = Architecture(hidden_size=hidden_size, operators=(SMALL_OPERATOR,), vocab_size=vocab_size)
        model = HybridLM(architecture, seed=0).to(device=device, dtype=TORCH_DTYPES[dtype])
        self._model = model.eval().requires_grad_(False)
        self._decoder = Decoder(self._model, batch_size=batch_size, max_tokens=MOST_STEPS)
        # An FFN keeps nothing, so pieces and whole may share it.
        state = model.new_state(batch_size=batch_size, max_tokens=1, device=device, dtype=TORCH_DTYPES[dtype])
        self._layer, self._layer_state = model.residual_operators[0], state.operators[0]
        self._batch_size = batch_size
        self._example_BD = torch.empty(batch_size, hidden_size, device=device, dtype=TORCH_DTYPES[dtype])

    def backend(self, part: str, *, phase: Phase) -> str:
        """Return the implementation of a fixed part: torch, but for the head of a step, which overhead contains too."""
        if phase == "decode" and part in ("head", OVERHEAD) and self._model.has_fused_head(self._example_BD):
            return "triton"
        return "torch"

    def step(self) -> FixedCalls:
        """Return the calls of one decode step."""
        tokens_B = self._tokens(self._batch_size)
        parts, x_BD = self._parts(tokens_B, logits=self._model.step_logits)

        def pieces() -> None:
            parts["embedding"]()
            self._layer.step(x_BD, self._layer_state)
            for name in ("head", "sampling"):
                parts[name]()

        return FixedCalls(parts=parts, pieces=pieces, whole=lambda: self._decoder.extend(1), rewind=self._decoder.reset)

    def prefill(self, tokens: int) -> FixedCalls:
        """Return the calls of a prompt of `tokens` tokens."""
        tokens_BT = self._tokens(self._batch_size, tokens)
        parts, x_BTD = self._parts(tokens_BT, logits=lambda x_BTD: self._model.logits(x_BTD[:, -1]))
        context = SequenceContext(start=0)

        def pieces() -> None:
            parts["embedding"]()
            self._layer(x_BTD, state=self._layer_state, context=context.at(0))
            for name in ("head", "sampling"):
                parts[name]()

        return FixedCalls(
            parts=parts, pieces=pieces, whole=lambda: self._decoder.read(tokens_BT), rewind=self._decoder.reset
        )

    def _parts(self, tokens: Tensor, *, logits: Callable[[Tensor], Tensor]) -> tuple[dict[str, Part], Tensor]:
        x = F.embedding(tokens, self._model.embedding)
        logits_BV = logits(x)
        parts: dict[str, Part] = {
            "embedding": lambda: F.embedding(tokens, self._model.embedding),
            "head": lambda: logits(x),
            "sampling": lambda: logits_BV.argmax(-1),
        }
        return parts, x

    def _tokens(self, *shape: int) -> Tensor:
        architecture, device = self._model.architecture, self._model.embedding.device
        return torch.randint(architecture.vocab_size, shape, device=device)
