"""The attention operator: one projection to queries, keys and values, the heads, one projection back."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from operators.attention.heads import AttentionHeads
from operators.attention.state import KeyValueState
from operators.base import Operator, StateRequest
from operators.context import SequenceContext
from operators.initialization import draw_reading, draw_writing
from search_spaces.specs import AttentionSpec


@final
class Attention(Operator[KeyValueState]):
    """Softmax attention with grouped queries."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("sdpa", "reference")
    step_backends: ClassVar[tuple[str, ...]] = ("sdpa", "reference")

    def __init__(self, spec: AttentionSpec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        self.spec = spec
        self.backends = self.choose(backend)
        self.heads = AttentionHeads(spec, norm_eps=norm_eps, backends=self.backends)
        self.qkv = nn.Linear(hidden_size, sum(self.heads.widths), bias=spec.bias)
        self.output = nn.Linear(self.heads.output_width, hidden_size, bias=False)

    def forward(self, x_BTD: Tensor, *, state: KeyValueState | None = None, context: SequenceContext) -> Tensor:
        """Return the outputs for a chunk."""
        y_BTD: Tensor = self.output(self.heads(self.qkv(x_BTD), state=state, context=context))
        return y_BTD

    @torch.no_grad()
    def step(self, x_BD: Tensor, state: KeyValueState) -> Tensor:
        """Return the output for one token."""
        y_BD: Tensor = self.output(self.heads.step(self.qkv(x_BD), state))
        return y_BD

    def make_state(self, request: StateRequest) -> KeyValueState:
        """Return an empty cache, or the cache of the operator whose keys and values are shared."""
        return self.heads.make_state(request)

    def reads_residual(self) -> tuple[Tensor, ...]:
        """Return the joint query, key and value projection."""
        return (self.qkv.weight,)

    def writes_residual(self) -> tuple[Tensor, ...]:
        """Return the output projection."""
        return (self.output.weight,)

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return nothing: both matrices touch the residual stream."""
        return ()

    def initialize(self, *, generator: torch.Generator, depth: int) -> None:
        """Draw the projections; norms start at one."""
        draw_reading(self.qkv, generator=generator)
        draw_writing(self.output, generator=generator, depth=depth)
