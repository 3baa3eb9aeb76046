"""The channel mixer: down(activation(up(x))), gated for SwiGLU."""

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from operators.base import EmptyState, StateRequest
from operators.context import SequenceContext
from operators.ffn.reference import activate
from operators.fused_projection import gated
from operators.norms import RMSNorm
from operators.projected import ProjectedOperator
from search_spaces.specs import FFNSpec


@final
class FFN(ProjectedOperator[EmptyState]):
    """Feed-forward network; gate and up projection are one matrix, the gate first."""

    sequence_backends: ClassVar[tuple[str, ...]] = ("reference",)
    step_backends: ClassVar[tuple[str, ...]] = ("triton", "reference")

    def __init__(self, spec: FFNSpec, *, hidden_size: int, norm_eps: float, backend: str) -> None:
        super().__init__()
        del norm_eps  # an FFN holds no norm of its own
        self.spec = spec
        self.backends = self.choose(backend)
        self.in_projection = nn.Linear(hidden_size, spec.intermediate_size * (2 if spec.is_gated else 1), bias=False)
        self.output = nn.Linear(spec.intermediate_size, hidden_size, bias=False)

    def mix(self, streams_BTC: Tensor, *, state: EmptyState | None, context: SequenceContext) -> Tensor:
        """Return the activated channels, each token for itself."""
        del state, context
        return activate(streams_BTC, activation=self.spec.activation)

    def mix_step(self, streams_BC: Tensor, state: EmptyState) -> Tensor:
        """Return the activated channels of one token."""
        del state
        return activate(streams_BC, activation=self.spec.activation)

    def normed_mix_step(self, x_BD: Tensor, state: EmptyState, *, norm: RMSNorm) -> Tensor:
        """Return the activated channels in one launch, norm and projection included."""
        del state
        return gated(
            x_BD,
            self.in_projection.weight,
            norm_weight_D=norm.weight,
            eps=norm.eps,
            activation=self.spec.activation,
        )

    def make_state(self, request: StateRequest) -> EmptyState:
        """Return a state without tensors."""
        del request
        return EmptyState()

    def inner_matrices(self) -> tuple[Tensor, ...]:
        """Return nothing: both matrices touch the residual stream."""
        return ()

    def initialize_inner(self, *, generator: torch.Generator) -> None:
        """Draw nothing: there is no parameter between the projections."""
