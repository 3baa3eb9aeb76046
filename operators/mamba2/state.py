"""What a Mamba2 layer remembers."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from operators.base import State
from operators.step_scratch import StepScratch


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Mamba2State(State):
    """The last inputs of the convolution, and the state-space state in float32."""

    history: Tensor
    """[B, J, C], in the model's dtype."""

    carried: Tensor
    """[B, H, P, N], float32."""

    scratch: StepScratch | None = None
    """What the fused step works in; made at the first one."""
