"""Scores without training, and how large a model is for one: baselines that a proxy must beat.

Every score is minimised, as perplexity is: of what promises a better model, more parameters or more saliency, it is the
negative. Which of them to believe is not here; a longer training says so. Needs no torch.
"""

from typing import Final

from operators.cost import flops_per_token, num_non_embedding_parameters, num_parameters
from search_spaces.architecture import Architecture

SIZES: Final = ("num_parameters", "num_non_embedding_parameters", "flops_per_token", "depth")
SALIENCIES: Final = ("snip", "gradient_norm")
"""What `saliency.py` gives."""

ZERO_COST_SCORES: Final = (*SIZES, *SALIENCIES)


def size_scores(architecture: Architecture, *, sequence_tokens: int) -> dict[str, float]:
    """Return what is counted, each negative: the larger, the better it is expected to be.

    Args:
        architecture: that is trained.
        sequence_tokens: of its training; a token sees half of its sequence on average.
    """
    return {
        "num_parameters": -float(num_parameters(architecture)),
        "num_non_embedding_parameters": -float(num_non_embedding_parameters(architecture)),
        "flops_per_token": -float(flops_per_token(architecture, context_tokens=sequence_tokens // 2)),
        "depth": -float(architecture.depth),
    }
