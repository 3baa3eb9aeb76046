"""What a recurrent mixer remembers: Mamba-1, Mamba2, DeltaNet and gated DeltaNet alike."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from operators.base import State
from operators.step_scratch import StepScratch


@final
@dataclass(slots=True, eq=False, kw_only=True)
class RecurrentState(State):
    """The last inputs of the convolutions and the recurrent state, of one size for any number of tokens."""

    history: Tensor
    """[B, J, C], in the model's dtype."""

    carried: Tensor
    """[B, ...], float32: a matrix a head [B, H, K, V] or [B, H, P, N], or [B, I, N] in Mamba-1."""

    scratch: StepScratch | None = None
    """What the fused step works in; made at the first one."""
