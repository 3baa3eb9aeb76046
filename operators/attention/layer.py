"""The attention operator: one projection to queries, keys, values and gate, the heads, one projection back."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from operators.attention.heads import AttentionHeads
from operators.attention.state import KeyValueState
from operators.base import StateRequest
from operators.context import SequenceContext
from operators.projected import ProjectedOperator
from search_spaces.specs import AttentionSpec


@final
class Attention(ProjectedOperator[KeyValueState]):
    """Softmax attention with grouped queries."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("sdpa", "reference")
    step_backends: ClassVar[tuple[str, ...]] = ("triton", "sdpa", "reference")

    def __init__(self, spec: AttentionSpec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        self.spec = spec
        self.backends = self.choose(backend)
        self.heads = AttentionHeads(spec, norm_eps=norm_eps, backends=self.backends)
        self.in_projection = nn.Linear(hidden_size, sum(self.heads.widths), bias=spec.bias)
        self.output = nn.Linear(self.heads.output_width, hidden_size, bias=False)

    def mix(self, streams_BTC: Tensor, *, state: KeyValueState | None, context: SequenceContext) -> Tensor:
        """Return the heads' outputs for a chunk."""
        y_BTI: Tensor = self.heads(streams_BTC, state=state, context=context)
        return y_BTI

    def mix_step(self, streams_BC: Tensor, state: KeyValueState) -> Tensor:
        """Return the heads' outputs for one token."""
        return self.heads.step(streams_BC, state)

    def make_state(self, request: StateRequest) -> KeyValueState:
        """Return an empty cache, or the cache of the operator whose keys and values are shared."""
        return self.heads.make_state(request)

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return nothing: both matrices touch the residual stream."""
        return ()

    def initialize_inner(self, *, generator: torch.Generator) -> None:
        """Draw nothing: between the projections are norms only."""
