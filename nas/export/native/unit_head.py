"""A head whose rows have length 1, for code that divides logits by it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from nas.errors import ExportError
from search_spaces import Architecture

LENGTH_TOLERANCE: Final = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 4e-3, torch.float16: 1e-3}
"""How far, relatively, lengths may be from their mean: what rounding to the dtype leaves of equal ones."""

OUTER: Final = ("embedding", "meta_tokens")


def with_unit_head(
    weights: Mapping[str, Tensor], architecture: Architecture
) -> tuple[Mapping[str, Tensor], Architecture]:
    """Return a model of the same logits whose head has rows of length 1, from one whose rows have one length.

    The final norm takes up the length. Where the head is the embedding, so does the whole residual stream, whose norms
    then add as much less.

    Raises:
        ExportError: the rows differ in length.
    """
    name = "embedding" if architecture.tie_embeddings else "head"
    lengths_V = torch.linalg.vector_norm(weights[name], dim=1, dtype=torch.float32)
    length = lengths_V.mean().item()
    tolerance = LENGTH_TOLERANCE[weights[name].dtype]
    if not (lengths_V - length).abs().max().item() <= tolerance * length:
        raise ExportError(
            "The rows of the head must all have one length, for Nemotron-Flash's code divides logits by it; got "
            f"lengths from {lengths_V.min():.4g} to {lengths_V.max():.4g}. Train with weight normalization, or export "
            "as hf."
        )
    if abs(length - 1) <= tolerance:
        return weights, architecture
    if not architecture.tie_embeddings:
        return {
            **weights,
            "head": weights["head"] / length,
            "norm.weight": weights["norm.weight"] * length,
        }, architecture
    return with_scaled_stream(weights, 1 / length), replace(architecture, norm_eps=architecture.norm_eps / length**2)


def with_scaled_stream(weights: Mapping[str, Tensor], scale: float) -> dict[str, Tensor]:
    """Return the weights of a model whose residual stream is `scale` times as large.

    Its logits are the same if its norms add `scale²` times as much. A head that is the embedding is scaled along, which
    the final norm takes back; one of its own stays.
    """
    scaled = {
        name: weight * scale if name in OUTER or name.endswith(".operator.output.weight") else weight
        for name, weight in weights.items()
    }
    if "head" not in weights:
        scaled["norm.weight"] = weights["norm.weight"] / scale
    return scaled
