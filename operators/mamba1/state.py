"""What a Mamba-1 layer remembers."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from operators.base import State


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Mamba1State(State):
    """The last inputs of the convolution, and the state-space state in float32."""

    history: Tensor
    """[B, J, I], in the model's dtype."""

    carried: Tensor
    """[B, I, N], float32."""
