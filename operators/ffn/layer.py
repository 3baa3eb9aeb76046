"""The channel mixer: down(activation(up(x))), gated for SwiGLU."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from operators.base import EmptyState, Operator, StateRequest
from operators.context import SequenceContext
from operators.ffn.reference import activate
from operators.initialization import draw_reading, draw_writing
from search_spaces.specs import FFNSpec


@final
class FFN(Operator[EmptyState]):
    """Feed-forward network; gate and up projection are one matrix, the gate first."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("reference",)
    step_backends: ClassVar[tuple[str, ...]] = ("reference",)

    def __init__(self, spec: FFNSpec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        del norm_eps  # an FFN holds no norm of its own
        self.spec = spec
        self.backends = self.choose(backend)
        self.up = nn.Linear(hidden_size, spec.intermediate_size * (2 if spec.is_gated else 1), bias=False)
        self.down = nn.Linear(spec.intermediate_size, hidden_size, bias=False)

    def forward(self, x_BTD: Tensor, *, state: EmptyState | None = None, context: SequenceContext) -> Tensor:
        """Return the outputs, each token for itself."""
        del state, context
        return self._mix(x_BTD)

    def step(self, x_BD: Tensor, state: EmptyState) -> Tensor:
        """Return the output for one token."""
        del state
        return self._mix(x_BD)

    def _mix(self, x: Tensor) -> Tensor:
        y: Tensor = self.down(activate(self.up(x), activation=self.spec.activation))
        return y

    def make_state(self, request: StateRequest) -> EmptyState:
        """Return a state without tensors."""
        del request
        return EmptyState()

    def reads_residual(self) -> tuple[Tensor, ...]:
        """Return the joint gate and up projection."""
        return (self.up.weight,)

    def writes_residual(self) -> tuple[Tensor, ...]:
        """Return the down projection."""
        return (self.down.weight,)

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return nothing: both matrices touch the residual stream."""
        return ()

    def initialize(self, *, generator: torch.Generator, depth: int) -> None:
        """Draw both projections."""
        draw_reading(self.up, generator=generator)
        draw_writing(self.down, generator=generator, depth=depth)
