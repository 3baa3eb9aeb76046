"""The Mamba-1 operator: one in-projection to [x, z], the mixer, one projection back."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from operators.base import StateRequest
from operators.context import SequenceContext
from operators.mamba1.mixer import Mamba1Mixer
from operators.projected import ProjectedOperator
from operators.recurrent_state import RecurrentState
from search_spaces.specs import Mamba1Spec


@final
class Mamba1(ProjectedOperator[RecurrentState]):
    """Selective state space with one step size per channel."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("mamba_ssm", "chunked", "reference")
    step_backends: ClassVar[tuple[str, ...]] = ("triton", "reference")
    """Ours are the projections; the state space between them is torch's either way."""

    def __init__(self, spec: Mamba1Spec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        self.spec = spec
        self.backends = self.choose(backend)
        self.mixer = Mamba1Mixer(spec, norm_eps=norm_eps, backends=self.backends)
        self.in_projection = nn.Linear(hidden_size, sum(self.mixer.widths), bias=False)
        self.output = nn.Linear(spec.inner_size, hidden_size, bias=False)

    def mix(self, streams_BTC: Tensor, *, state: RecurrentState | None, context: SequenceContext) -> Tensor:
        """Return the mixer's outputs for a chunk."""
        y_BTI: Tensor = self.mixer(streams_BTC, state=state, context=context)
        return y_BTI

    def mix_step(self, streams_BC: Tensor, state: RecurrentState) -> Tensor:
        """Return the mixer's output for one token."""
        return self.mixer.step(streams_BC, state)

    def make_state(self, request: StateRequest) -> RecurrentState:
        """Return a state of zeros; it has one size for any number of tokens."""
        return self.mixer.make_state(request)

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return those of the mixer."""
        return self.mixer.inner_matrices()

    def initialize_inner(self, *, generator: torch.Generator) -> None:
        """Draw what the mixer holds."""
        self.mixer.initialize(generator=generator)
