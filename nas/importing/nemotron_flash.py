"""Nemotron-Flash.

Its code adds 1e-5 inside the norms of operators and `rms_norm_eps` in those of the residual stream. Our models have one
norm_eps, so the stream is made larger instead, which leaves the logits as they are.
"""

from collections.abc import Callable
from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Final

from nas.errors import ModelImportError
from nas.export.native.nemotron_flash import ACTIVATIONS, DELTANET_CONVOLUTION, FFN_MULTIPLE, INNER_EPS
from nas.importing.config import Config
from nas.importing.family import Weights
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, DeltaNetSpec, FFNSpec, Mamba2Spec, OperatorSpec

if TYPE_CHECKING:
    from torch import Tensor

_NTK_FACTOR: Final = 2

_RESIDUAL_EPS: Final = 1e-6
"""Where the configuration says none."""


def nemotron_flash_architecture(config: Config) -> Architecture:
    """Return the architecture of a Nemotron-Flash, with the norm_eps of its residual stream."""
    config.require("intermediate_size", 0, default=14336)
    config.require("sliding_window", None, default=None)
    config.require("attn_hidden_size", -1, 0, default=-1)
    config.require("kq_norm", "none", "rms", default=None)
    kinds = config.words("layer_types")
    makers: dict[str, Callable[[Config], OperatorSpec]] = {
        "deltanet": _deltanet,
        "m2": _mamba2,
        "m": _mamba2,
        "a": _attention,
        "f": _ffn,
    }
    other = sorted(set(kinds) - set(makers))
    if other:
        raise ModelImportError(f"nemotron_flash: layer_types {', '.join(other)} cannot be imported.")
    specs: dict[str, OperatorSpec] = {kind: makers[kind](config) for kind in set(kinds)}
    return Architecture(
        hidden_size=config.integer("hidden_size"),
        operators=tuple(specs[kind] for kind in kinds),
        vocab_size=config.integer("vocab_size"),
        num_meta_tokens=config.integer("num_memory_tokens", 0),
        tie_embeddings=config.flag("tie_word_embeddings", default=False),
        norm_eps=config.number("rms_norm_eps", _RESIDUAL_EPS),
    )


def as_published(weights: Weights, config: Config, architecture: Architecture) -> tuple[Weights, Architecture]:
    """Return a model of ours with the logits of the published code: its divided logits, its two epsilons."""
    from nas.export.native.unit_head import with_scaled_stream

    del config
    weights, architecture = _with_divided_logits(weights, architecture)
    has_inner_norms = any(
        isinstance(spec, DeltaNetSpec | Mamba2Spec) or (isinstance(spec, AttentionSpec) and spec.qk_norm)
        for spec in architecture.operators
    )
    if not has_inner_norms or architecture.norm_eps == INNER_EPS:
        return weights, architecture
    if architecture.norm_eps == 0:
        raise ModelImportError("nemotron_flash: rms_norm_eps must be more than 0; got 0.")
    scaled = with_scaled_stream(weights, sqrt(INNER_EPS / architecture.norm_eps))
    return scaled, replace(architecture, norm_eps=INNER_EPS)


def _with_divided_logits(weights: Weights, architecture: Architecture) -> tuple[Weights, Architecture]:
    """Return a head with rows of length 1; the published code divides by their lengths."""
    import torch

    from nas.export.native.unit_head import LENGTH_TOLERANCE

    head: Tensor = weights["embedding" if architecture.tie_embeddings else "head"]
    lengths_V = torch.linalg.vector_norm(head, dim=1, keepdim=True, dtype=torch.float32)
    if (lengths_V - 1).abs().max().item() <= LENGTH_TOLERANCE[head.dtype]:
        return weights, architecture
    divided = (head.float() / lengths_V).to(head.dtype)
    return {**weights, "head": divided}, replace(architecture, tie_embeddings=False)


def _deltanet(config: Config) -> DeltaNetSpec:
    heads = config.integer("num_attention_heads")
    return DeltaNetSpec(
        num_heads=heads, head_dim=config.integer("hidden_size") // heads, conv_width=DELTANET_CONVOLUTION
    )


def _mamba2(config: Config) -> Mamba2Spec:
    config.require("mamba_conv_bias", True, default=True)
    config.require("mamba_proj_bias", False, default=False)
    head_dim = config.integer("mamba2_headdim", 64)
    return Mamba2Spec(
        num_heads=config.integer("mamba_expand", 2) * config.integer("hidden_size") // head_dim,
        head_dim=head_dim,
        state_size=config.integer("mamba_d_state", 16),
        conv_width=config.integer("mamba_d_conv", 4),
    )


def _attention(config: Config) -> AttentionSpec:
    heads = config.integer("num_attention_heads")
    shared = config.integer("hidden_size") // heads
    key_dim, value_dim = config.integer("kq_head_dim", -1), config.integer("v_head_dim", -1)
    key_dim = key_dim if key_dim > 0 else shared
    return AttentionSpec(
        num_heads=heads,
        num_kv_heads=config.integer("num_key_value_heads", heads),
        head_dim=key_dim,
        value_head_dim=value_dim if value_dim > 0 else shared,
        rope_theta=_rope_theta(config, key_dim) if config.flag("rope", default=False) else None,
        qk_norm=config.value("kq_norm") == "rms",
    )


def _rope_theta(config: Config, key_dim: int) -> float:
    """Return the base of the frequencies; what the published code calls ntk is a larger one."""
    config.require("rope_type", None, "default", "ntk", default=None)
    base = config.number("rope_theta", 10000.0)
    if config.value("rope_type") != "ntk":
        return base
    longer = config.integer("max_position_embeddings") / config.integer("orig_max_position_embeddings")
    stretch = float((_NTK_FACTOR * longer - (_NTK_FACTOR - 1)) ** (key_dim / (key_dim - 2)))
    return base * stretch


def _ffn(config: Config) -> FFNSpec:
    activations = {theirs: ours for ours, theirs in ACTIVATIONS.items()}
    config.require("mlp_hidden_act", *activations, default="silu")
    width = int(config.number("ffn_expand_ratio") * config.integer("hidden_size"))
    return FFNSpec(
        intermediate_size=width // FFN_MULTIPLE * FFN_MULTIPLE,
        activation=activations[config.value("mlp_hidden_act", "silu")],
    )
