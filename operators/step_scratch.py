"""Memory that a fused one-token step needs beside the state: unfinished outputs, and counters of arrived programs.

Made once per state, so that addresses stay the same in a CUDA graph. It remembers nothing between tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepScratch:
    """Of one operator and one batch size."""

    unfinished: Tensor
    """[B, I], outputs before norm and gate, float32."""

    counters: Tensor
    """[B, n], programs that have arrived at each meeting point; zero between steps."""

    @classmethod
    def new(cls, *, batch_size: int, inner_size: int, num_counters: int, device: torch.device) -> "StepScratch":
        """Return fresh memory."""
        return cls(
            unfinished=torch.empty(batch_size, inner_size, dtype=torch.float32, device=device),
            counters=torch.zeros(batch_size, num_counters, dtype=torch.int32, device=device),
        )
