"""The exponential moving average of a model's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """An average of every trained weight, in step with the optimizer; spread over processes as the weights are."""

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        """Begin at the weights as they are."""
        self._decay = decay
        self._weights = dict(model.named_parameters())
        self.average = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update_(self) -> None:
        """Move the average on after a step."""
        torch._foreach_lerp_(list(self.average.values()), list(self._weights.values()), 1 - self._decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the model hold the average meanwhile."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            _swap(weight, self.average[name])


def _swap(first: Tensor, second: Tensor) -> None:
    kept = first.clone()
    first.copy_(second)
    second.copy_(kept)
