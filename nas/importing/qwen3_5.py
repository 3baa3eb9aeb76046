"""Qwen3.5, dense: gated DeltaNet or gated attention, and SwiGLU. Of a model that also sees, the text model."""

from dataclasses import replace

from nas.errors import ModelImportError
from nas.importing.config import Config
from nas.importing.family import Weights
from nas.importing.rope import read_rope
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, GatedDeltaNetSpec, OperatorSpec


def qwen3_5_architecture(config: Config) -> Architecture:
    """Return the architecture of the text model."""
    if isinstance(config.value("text_config"), dict):
        # Some say for the whole model only whether the head is the embedding.
        tied = {"tie_word_embeddings": config.value("tie_word_embeddings")}
        config = Config(fields=tied | config.value("text_config"), model_type=config.model_type)
    config.require("hidden_act", "silu", "swish", default="silu")
    config.require("attention_bias", False, default=False)
    config.require("attn_output_gate", True, default=True)
    ffn = FFNSpec(intermediate_size=config.integer("intermediate_size"))
    operators: list[OperatorSpec] = []
    for kind in _kinds(config):
        operators += [_attention(config) if kind == "full_attention" else _gated_deltanet(config), ffn]
    return Architecture(
        hidden_size=config.integer("hidden_size"),
        operators=tuple(operators),
        vocab_size=config.integer("vocab_size"),
        tie_embeddings=config.flag("tie_word_embeddings", default=False),
        norm_eps=config.number("rms_norm_eps", 1e-6),
    )


def without_constant_gates(
    weights: Weights, config: Config, architecture: Architecture
) -> tuple[Weights, Architecture]:
    """Return attention whose gate is zero, and so one half for any input, without it and half of its projection.

    Such is attention that has no gate in a folder of this family.
    """
    del config
    operators, folded = list(architecture.operators), dict(weights)
    for index, spec in enumerate(architecture.operators):
        if not isinstance(spec, AttentionSpec):
            continue
        reading, writing = (f"layers.{index}.operator.{name}.weight" for name in ("in_projection", "output"))
        num_gates = weights[writing].shape[1]
        if not weights[reading][-num_gates:].any():
            operators[index] = replace(spec, output_gate=False)
            folded[reading] = weights[reading][:-num_gates].clone()
            folded[writing] = weights[writing] / 2
    return folded, replace(architecture, operators=tuple(operators))


def _kinds(config: Config) -> list[str]:
    if config.value("layer_types") is None:
        interval = config.integer("full_attention_interval", 4)
        layers = range(1, config.integer("num_hidden_layers") + 1)
        return ["linear_attention" if layer % interval else "full_attention" for layer in layers]
    kinds = config.words("layer_types")
    other = sorted(set(kinds) - {"linear_attention", "full_attention"})
    if other:
        raise ModelImportError(f"{config.model_type}: layer_types {', '.join(other)} cannot be imported.")
    return kinds


def _attention(config: Config) -> AttentionSpec:
    rope = read_rope(config, fraction=0.25)
    heads = config.integer("num_attention_heads")
    return AttentionSpec(
        num_heads=heads,
        num_kv_heads=config.integer("num_key_value_heads", heads),
        head_dim=config.integer("head_dim", 256),
        rope_theta=rope.rope_theta,
        rotary_fraction=rope.rotary_fraction,
        rope_scaling=rope.rope_scaling,
        qk_norm=True,
        output_gate=True,
    )


def _gated_deltanet(config: Config) -> GatedDeltaNetSpec:
    return GatedDeltaNetSpec(
        num_heads=config.integer("linear_num_key_heads", 16),
        head_dim=config.integer("linear_key_head_dim", 128),
        num_value_heads=config.integer("linear_num_value_heads", 32),
        value_head_dim=config.integer("linear_value_head_dim", 128),
        conv_width=config.integer("linear_conv_kernel_dim", 4),
    )
