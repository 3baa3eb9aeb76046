"""The Mamba2 operator: one in-projection to [z, x, B, C, dt], the mixer, one projection back."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from operators.base import Operator, StateRequest
from operators.context import SequenceContext
from operators.initialization import draw_reading, draw_writing
from operators.mamba2.mixer import Mamba2Mixer
from operators.mamba2.state import Mamba2State
from search_spaces.specs import Mamba2Spec


@final
class Mamba2(Operator[Mamba2State]):
    """State space with one decay per head."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("mamba_ssm", "fla", "chunked", "reference")
    step_backends: ClassVar[tuple[str, ...]] = ("triton", "reference")

    def __init__(self, spec: Mamba2Spec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        self.spec = spec
        self.mixer = Mamba2Mixer(spec, norm_eps=norm_eps, backends=self.choose(backend))
        self.backends = self.mixer.backends
        self.in_projection = nn.Linear(hidden_size, sum(self.mixer.widths), bias=False)
        self.output = nn.Linear(spec.inner_size, hidden_size, bias=False)

    def forward(self, x_BTD: Tensor, *, state: Mamba2State | None = None, context: SequenceContext) -> Tensor:
        """Return the outputs for a chunk."""
        y_BTD: Tensor = self.output(self.mixer(self.in_projection(x_BTD), state=state, context=context))
        return y_BTD

    @torch.no_grad()
    def step(self, x_BD: Tensor, state: Mamba2State) -> Tensor:
        """Return the output for one token."""
        y_BD: Tensor = self.output(self.mixer.step(self.in_projection(x_BD), state))
        return y_BD

    def make_state(self, request: StateRequest) -> Mamba2State:
        """Return a state of zeros; it has one size for any number of tokens."""
        return self.mixer.make_state(request)

    def reads_residual(self) -> tuple[Tensor, ...]:
        """Return the in-projection."""
        return (self.in_projection.weight,)

    def writes_residual(self) -> tuple[Tensor, ...]:
        """Return the output projection."""
        return (self.output.weight,)

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return those of the mixer."""
        return self.mixer.inner_matrices()

    def initialize(self, *, generator: torch.Generator, depth: int) -> None:
        """Draw every parameter."""
        draw_reading(self.in_projection, generator=generator)
        self.mixer.initialize(generator=generator)
        draw_writing(self.output, generator=generator, depth=depth)
