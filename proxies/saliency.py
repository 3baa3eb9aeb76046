"""How much a model's loss moves at initialisation: scores from the gradient of one batch, without training.

Each is negative, for scores are minimised as perplexity is and more saliency promises a better model. What only counts
is `zero_cost.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from operators.model import HybridLM
from operators.weight_norm import WeightNormalization
from proxies.data import Corpus, training_batch
from proxies.placement import num_threads, resolve_device
from proxies.settings import TrainingSettings
from proxies.training import next_token_loss
from search_spaces.architecture import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialization:
    """What one batch says of a model that was not trained."""

    loss: float
    """In nats per token."""

    scores: dict[str, float]
    """By name of a saliency."""


def score_initialization(
    architecture: Architecture, *, corpus: Corpus, settings: TrainingSettings, seed: int
) -> Initialization:
    """Return what the gradient of one batch says of a model at initialisation, in float32, each score negative.

    `snip` is Σ|w·g| over all weights (SNIP, arXiv:1810.02340), `gradient_norm` Σ‖g‖ over all tensors; both
    summed to rank architectures as in arXiv:2101.08134. The first batch of the training with this seed.

    Raises:
        SpecError: an architecture that cannot be built.
        DataError: the corpus holds no batch.
        UnavailableError: no such device.
    """
    device = resolve_device(settings.device)
    with num_threads(settings.num_threads):
        model = HybridLM(architecture, seed=seed).to(device).train()
        if settings.weight_normalization:
            WeightNormalization(model).apply_()
        batch = training_batch(
            corpus,
            step=0,
            seed=seed,
            batch_size=settings.batch_size,
            sequence_tokens=settings.sequence_tokens,
            sampling=settings.sampling,
        )
        loss = next_token_loss(model, torch.from_numpy(batch).to(device))
        torch.autograd.backward(loss)
        return Initialization(loss=float(loss.detach()), scores=saliencies(model.parameters()))


def saliencies(parameters: Iterable[nn.Parameter]) -> dict[str, float]:
    """Return the scores of parameters whose gradients are there; one without a gradient has no say."""
    pairs: list[tuple[Tensor, Tensor]] = [(each.detach(), each.grad) for each in parameters if each.grad is not None]
    return {
        "snip": -sum(float((weight * gradient).abs().sum()) for weight, gradient in pairs),
        "gradient_norm": -sum(float(gradient.norm()) for _, gradient in pairs),
    }
