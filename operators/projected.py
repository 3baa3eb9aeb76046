"""Operators that are one projection from the residual stream, something between, and one projection back to it.

What lies between is each operator's own: over a sequence (`mix`), and for one token (`mix_step`).
"""

from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor, nn

from operators.base import Operator, State
from operators.context import SequenceContext
from operators.fused_projection import fits, projected
from operators.initialization import draw_reading, draw_writing
from operators.norms import RMSNorm

S = TypeVar("S", bound=State)


class ProjectedOperator(Operator[S]):
    """output(mix(in_projection(x)))."""

    in_projection: nn.Linear
    """Everything the operator reads from the stream, in one matrix [C, D]."""

    output: nn.Linear
    """[D, I]."""

    @abstractmethod
    def mix(self, streams_BTC: Tensor, *, state: S | None, context: SequenceContext) -> Tensor:
        """Return what is projected back, [B, T, I], for a chunk; `state` is read and then moved on in place."""

    @abstractmethod
    def mix_step(self, streams_BC: Tensor, state: S) -> Tensor:
        """Return what is projected back, [B, I], for one token, moving `state` on in place."""

    @abstractmethod
    def initialize_inner(self, *, generator: torch.Generator) -> None:
        """Draw every parameter between the projections; norms are ones already."""

    def forward(self, x_BTD: Tensor, *, state: S | None = None, context: SequenceContext) -> Tensor:
        """Return the outputs for a chunk."""
        y_BTD: Tensor = self.output(self.mix(self.in_projection(x_BTD), state=state, context=context))
        return y_BTD

    @torch.no_grad()
    def step(self, x_BD: Tensor, state: S) -> Tensor:
        """Return the output for one token."""
        y_BD: Tensor = self.output(self.mix_step(self.in_projection(x_BD), state))
        return y_BD

    def residual_step(self, x_BD: Tensor, state: S, *, norm: RMSNorm) -> Tensor:
        """Return x + step(norm(x)); where our kernels run, norm and residual are part of the projections' launches."""
        if self.backends.at("step", x_BD) != "triton" or not fits(x_BD, self.in_projection.weight, self.output.weight):
            return super().residual_step(x_BD, state, norm=norm)
        return projected(self.normed_mix_step(x_BD, state, norm=norm), self.output.weight, residual_BO=x_BD)

    def normed_mix_step(self, x_BD: Tensor, state: S, *, norm: RMSNorm) -> Tensor:
        """Return mix_step(in_projection(norm(x))) in our kernels."""
        streams_BC = projected(
            x_BD,
            self.in_projection.weight,
            norm_weight_D=norm.weight,
            eps=norm.eps,
            bias_O=self.in_projection.bias,
        )
        return self.mix_step(streams_BC, state)

    def reads_residual(self) -> tuple[Tensor, ...]:
        """Return the in-projection."""
        return (self.in_projection.weight,)

    def writes_residual(self) -> tuple[Tensor, ...]:
        """Return the output projection."""
        return (self.output.weight,)

    def initialize(self, *, generator: torch.Generator, depth: int) -> None:
        """Draw every parameter."""
        draw_reading(self.in_projection, generator=generator)
        self.initialize_inner(generator=generator)
        draw_writing(self.output, generator=generator, depth=depth)
