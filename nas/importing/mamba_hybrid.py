"""Granite 4 without experts, and Bamba: Mamba2 or attention, and SwiGLU; and Granite 3, attention only.

Granite's multipliers are folded into the weights: what they scale has no place in our operators.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import inf

from nas.errors import ModelImportError
from nas.importing.config import Config
from nas.importing.family import Weights
from nas.importing.rope import read_rope
from nas.importing.transformer import llama_architecture
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, Mamba2Spec, OperatorSpec


def granite_architecture(config: Config) -> Architecture:
    """Return the architecture of a Granite 4."""
    config.require("num_local_experts", 0, default=8)
    config.require("position_embedding_type", None, "nope", "rope", default=None)
    kinds = config.value("layer_types", config.value("layers_block_type"))
    if not isinstance(kinds, list):
        raise ModelImportError(f"granitemoehybrid: layer_types must list the layers; got {kinds!r}.")
    attends = _attention(config, bias=config.flag("attention_bias", default=False))
    if config.value("position_embedding_type") == "rope":
        rope = read_rope(config)
        attends = replace(
            attends,
            rope_theta=rope.rope_theta,
            rotary_fraction=rope.rotary_fraction,
            rope_scaling=rope.rope_scaling,
        )
    has_attention = ["attention" in kind and "linear" not in kind for kind in kinds]
    return _architecture(config, has_attention, attends, ffn_size=config.integer("shared_intermediate_size"), eps=1e-6)


def bamba_architecture(config: Config) -> Architecture:
    """Return the architecture of a Bamba."""
    config.require("attention_bias", False, default=False)
    config.require("mlp_bias", False, default=False)
    rope = read_rope(config, fraction=0.5)
    attends = replace(
        _attention(config, bias=False),
        rope_theta=rope.rope_theta,
        rotary_fraction=rope.rotary_fraction,
        rope_scaling=rope.rope_scaling,
    )
    places = config.value("attn_layer_indices", [])
    has_attention = [layer in places for layer in range(config.integer("num_hidden_layers"))]
    return _architecture(config, has_attention, attends, ffn_size=config.integer("intermediate_size"), eps=1e-5)


def with_multipliers(weights: Weights, config: Config, architecture: Architecture) -> tuple[Weights, Architecture]:
    """Return Granite's weights with its multipliers folded in, so that the logits are Granite's."""
    residual, embedding = config.number("residual_multiplier", 1.0), config.number("embedding_multiplier", 1.0)
    score, logits = config.number("attention_multiplier", 1.0), config.number("logits_scaling", 1.0)
    folded = dict(weights)
    for index, spec in enumerate(architecture.operators):
        prefix = f"layers.{index}.operator."
        folded[f"{prefix}output.weight"] = weights[f"{prefix}output.weight"] * residual
        if isinstance(spec, AttentionSpec):
            for name in ("weight", "bias") if spec.bias else ("weight",):
                folded[f"{prefix}in_projection.{name}"] = weights[f"{prefix}in_projection.{name}"].clone()
                # Scores are taken times head_dim^-½ here.
                folded[f"{prefix}in_projection.{name}"][: spec.num_heads * spec.head_dim] *= score * spec.head_dim**0.5
    folded["embedding"] = weights["embedding"] * embedding
    tied = embedding if architecture.tie_embeddings else 1.0
    folded["norm.weight"] = weights["norm.weight"] / (logits * tied)
    return folded, architecture


def granite_3_architecture(config: Config) -> Architecture:
    """Return the architecture of a dense Granite, which is Llama's but for its multipliers."""
    return llama_architecture(config)


def _attention(config: Config, *, bias: bool) -> AttentionSpec:
    width, heads = config.integer("hidden_size"), config.integer("num_attention_heads")
    return AttentionSpec(
        num_heads=heads,
        num_kv_heads=config.integer("num_key_value_heads", heads),
        head_dim=config.integer("head_dim", width // heads),
        bias=bias,
    )


def _architecture(
    config: Config, has_attention: Sequence[bool], attends: AttentionSpec, *, ffn_size: int, eps: float
) -> Architecture:
    config.require("hidden_act", "silu", "swish", default="silu")
    ffn = FFNSpec(intermediate_size=ffn_size)
    operators: list[OperatorSpec] = []
    for attention in has_attention:
        operators += [attends if attention else _mamba(config), ffn]
    return Architecture(
        hidden_size=config.integer("hidden_size"),
        operators=tuple(operators),
        vocab_size=config.integer("vocab_size"),
        tie_embeddings=config.flag("tie_word_embeddings", default=False),
        norm_eps=config.number("rms_norm_eps", eps),
    )


def _mamba(config: Config) -> Mamba2Spec:
    config.require("mamba_conv_bias", True, default=True)
    config.require("mamba_proj_bias", False, default=False)
    config.require("time_step_limit", [0.0, inf], default=[0.0, inf])
    heads, expand = config.integer("mamba_n_heads", 128), config.integer("mamba_expand", 2)
    inner = expand * config.integer("hidden_size")
    head_dim = config.value("mamba_d_head", "auto")
    return Mamba2Spec(
        num_heads=heads,
        head_dim=inner // heads if head_dim == "auto" else config.integer("mamba_d_head"),
        state_size=config.integer("mamba_d_state", 256),
        num_groups=config.integer("mamba_n_groups", 1),
        conv_width=config.integer("mamba_d_conv", 4),
    )
