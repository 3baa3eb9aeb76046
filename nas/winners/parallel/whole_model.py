"""What a process that holds the whole model does by itself; not what it exchanges with others."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from operators.model import HybridLM
from operators.weight_norm import WeightNormalization


class WholeModel:
    """The part of `Parallel` that needs nobody else: every gradient and every parameter is here."""

    def clip_(self, parameters: Sequence[nn.Parameter], *, max_norm: float) -> Tensor:
        """Scale all gradients to a global norm of at most `max_norm`; return the norm before."""
        return nn.utils.clip_grad_norm_(parameters, max_norm, foreach=True)

    @torch.no_grad()
    def norm(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the global norm."""
        return nn.utils.get_total_norm(tensors, foreach=True)

    def weight_normalization(self, model: HybridLM) -> Callable[[], None]:
        """Return what normalises the whole matrices."""
        return WeightNormalization(model).apply_
