"""The weights of an emulation, made of the model's."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from nas.export.native.emulation import Emulation
from nas.export.native.operator_layouts import operator_prefix
from operators.model import HybridLM
from search_spaces import Architecture
from search_spaces.specs import DeltaNetSpec, FFNSpec, GatedDeltaNetSpec, OperatorSpec

NO_DECAY: Final = -100.0
"""A logarithm of decays that is nothing in float32: exp(−exp(−100) · softplus(0)) is 1."""


def emulated_weights(
    weights: Mapping[str, Tensor], architecture: Architecture, emulation: Emulation
) -> dict[str, Tensor]:
    """Return the weights of the emulation's architecture that give the logits of `weights`."""
    target = emulation.architecture
    outer = ("embedding", "meta_tokens", "norm.weight", *(() if architecture.tie_embeddings else ("head",)))
    made = {name: weights[name] for name in outer}
    if architecture.tie_embeddings and not target.tie_embeddings:
        made["head"] = made["embedding"]
    shapes = _shapes(target)
    for index, (spec, source) in enumerate(zip(target.operators, emulation.sources, strict=True)):
        layer, prefix = f"layers.{index}.", operator_prefix(index)
        if source is None:
            made |= _adds_nothing(shapes, layer, like=made["embedding"])
            continue
        own = _within(weights, operator_prefix(source))
        made[f"{layer}norm.weight"] = weights[f"layers.{source}.norm.weight"]
        made |= {f"{prefix}{name}": tensor for name, tensor in _rewritten(own, architecture.operators[source], spec)}
    return made


def _shapes(architecture: Architecture) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in HybridLM(architecture, seed=0).state_dict().items()}


def _within(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _adds_nothing(shapes: Mapping[str, torch.Size], layer: str, *, like: Tensor) -> dict[str, Tensor]:
    return {
        name: like.new_ones(shape) if name == f"{layer}norm.weight" else like.new_zeros(shape)
        for name, shape in shapes.items()
        if name.startswith(layer)
    }


def _rewritten(own: dict[str, Tensor], was: OperatorSpec, becomes: OperatorSpec) -> list[tuple[str, Tensor]]:
    if isinstance(was, FFNSpec) and isinstance(becomes, FFNSpec):
        own = _padded(own, was, by=becomes.intermediate_size - was.intermediate_size)
    elif isinstance(was, DeltaNetSpec) and isinstance(becomes, GatedDeltaNetSpec):
        own = _never_decaying(own, was)
    return list(own.items())


def _padded(own: dict[str, Tensor], was: FFNSpec, *, by: int) -> dict[str, Tensor]:
    if not by:
        return own
    halves = own["in_projection.weight"].chunk(2 if was.is_gated else 1)
    return {
        "in_projection.weight": torch.cat([F.pad(half, (0, 0, 0, by)) for half in halves]),
        "output.weight": F.pad(own["output.weight"], (0, by)),
    }


def _never_decaying(own: dict[str, Tensor], was: DeltaNetSpec) -> dict[str, Tensor]:
    inner, heads = was.num_heads * was.head_dim, was.num_heads
    qkv, beta, gate = torch.split(own["in_projection.weight"], [3 * inner, heads, inner])
    return own | {
        "in_projection.weight": torch.cat((qkv, beta, torch.zeros_like(beta), gate)),
        "A_log": qkv.new_full((heads,), NO_DECAY),
        "dt_bias": qkv.new_zeros(heads),
    }
