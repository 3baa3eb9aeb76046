"""What a gated DeltaNet layer remembers."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from operators.base import State
from operators.step_scratch import StepScratch


@final
@dataclass(slots=True, eq=False, kw_only=True)
class GatedDeltaNetState(State):
    """The last inputs of the convolutions, and the associative memory in float32."""

    history: Tensor
    """[B, J, C], in the model's dtype."""

    carried: Tensor
    """[B, H, K, V] with as many heads as values have, float32."""

    scratch: StepScratch | None = None
    """What the fused step works in; made at the first one."""
