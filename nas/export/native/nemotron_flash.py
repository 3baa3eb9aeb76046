"""Nemotron-Flash: all operators of the paper, for TensorRT-LLM's AutoDeploy and the published code.

That code divides logits by the length of the head's rows, so these must be 1, as after training with weight
normalization; and its DeltaNet, Mamba2 and norms of queries and keys add 1e-5 inside their norms whatever the
configuration says, so the model's norm_eps must be that.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, final

from nas.export.exporter import Obstacle
from nas.export.native import rules
from nas.export.native.emulation import Emulation, unchanged, with_ffns_of_one_size
from nas.export.native.exporter import NativeExporter
from nas.export.native.layout import Layout, Part
from nas.export.native.max_tokens import MAX_TOKENS
from nas.export.native.operator_layouts import operator, operator_prefix, outer, vector
from search_spaces import Architecture
from search_spaces.specs import Activation, AttentionSpec, DeltaNetSpec, FFNSpec, Mamba2Spec

if TYPE_CHECKING:
    from torch import Tensor

ENGINE: Final = "Nemotron-Flash"

LAYER_TYPES: Final = {DeltaNetSpec: "deltanet", Mamba2Spec: "m2", AttentionSpec: "a", FFNSpec: "f"}

MODULES: Final = {DeltaNetSpec: "gla", Mamba2Spec: "mamba", AttentionSpec: "self_attn", FFNSpec: "ffn"}

INNER_EPS: Final = 1e-5
"""Added inside the norms of operators by the published code."""

DELTANET_CONVOLUTION: Final = 4

FFN_MULTIPLE: Final = 128
"""The published code rounds the width of FFNs down to a multiple of this."""

ACTIVATIONS: Final[dict[Activation, str]] = {"swiglu": "silu", "relu2": "relu2"}

PUBLISHED: Final = "nvidia/Nemotron-Flash-3B-Instruct"
"""Whose code the folder refers to."""


@final
class NemotronFlashExporter(NativeExporter):
    """Format `nemotron-flash`."""

    name: ClassVar[str] = "nemotron-flash"

    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return everything that Nemotron-Flash cannot hold."""
        allowed = rules.AttentionRules(rope="either", qk_norm="either")
        return (
            *rules.other_kinds(architecture, tuple(LAYER_TYPES), engine=ENGINE, letters="d, m2, a and f"),
            *rules.attention(architecture, allowed, engine=ENGINE),
            *rules.uniform(
                architecture,
                AttentionSpec,
                ("num_heads", "num_kv_heads", "head_dim", "rope_theta", "qk_norm"),
                engine=ENGINE,
            ),
            *rules.uniform(
                architecture, Mamba2Spec, ("head_dim", "num_heads", "state_size", "conv_width"), engine=ENGINE
            ),
            *rules.mamba2_fills_width(architecture, engine=ENGINE),
            *_group_obstacles(architecture),
            *rules.convolutions(architecture, engine=ENGINE),
            *_deltanet_obstacles(architecture),
            *_ffn_obstacles(architecture),
            *_norm_obstacles(architecture),
            *_head_obstacles(architecture),
        )

    def emulation(self, architecture: Architecture) -> Emulation:
        """Return the architecture with FFNs of one size, a multiple of 128."""
        return with_ffns_of_one_size(unchanged(architecture), multiple_of=FFN_MULTIPLE)

    def prepared(
        self, weights: Mapping[str, "Tensor"], architecture: Architecture
    ) -> tuple[Mapping[str, "Tensor"], Architecture]:
        """Return the model with rows of length 1 in its head, where they have one length.

        Raises:
            ExportError: they differ in length.
        """
        from nas.export.native.unit_head import with_unit_head

        return with_unit_head(weights, architecture)

    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return the published fields."""
        width = architecture.hidden_size
        delta = rules.first(architecture, DeltaNetSpec)
        default_heads = 1 if delta is None else delta.num_heads
        attends = rules.first(architecture, AttentionSpec) or AttentionSpec(
            num_heads=default_heads, num_kv_heads=default_heads, head_dim=max(1, width // default_heads)
        )
        mamba = rules.first(architecture, Mamba2Spec) or Mamba2Spec(num_heads=1, head_dim=width, state_size=128)
        mlp = rules.first(architecture, FFNSpec) or FFNSpec(intermediate_size=3 * width)
        return {
            "architectures": ["NemotronFlashForCausalLM"],
            "auto_map": {
                "AutoConfig": f"{PUBLISHED}--configuration_nemotron_flash.NemotronFlashConfig",
                "AutoModelForCausalLM": f"{PUBLISHED}--modeling_nemotron_flash.NemotronFlashForCausalLM",
            },
            "model_type": "nemotron_flash",
            "layer_types": [LAYER_TYPES[type(spec)] for spec in architecture.operators],
            "num_hidden_layers": architecture.depth,
            "hidden_size": width,
            "vocab_size": architecture.vocab_size,
            "tie_word_embeddings": architecture.tie_embeddings,
            "rms_norm_eps": architecture.norm_eps,
            "num_memory_tokens": architecture.num_meta_tokens,
            "num_attention_heads": attends.num_heads,
            "num_key_value_heads": attends.num_kv_heads,
            "attn_hidden_size": -1,
            "kq_head_dim": attends.head_dim,
            "v_head_dim": attends.head_dim,
            "kq_norm": "rms" if attends.qk_norm else "none",
            "attention_dropout": 0.0,
            "rope": attends.rope_theta is not None,
            "rope_theta": 10000.0 if attends.rope_theta is None else attends.rope_theta,
            "rope_type": "default",
            "max_position_embeddings": MAX_TOKENS,
            "orig_max_position_embeddings": None,
            "sliding_window": None,
            "global_attn_idx": None,
            "mlp_hidden_act": ACTIVATIONS.get(mlp.activation, "silu"),
            "hidden_act": "silu",
            # No second FFN inside mixers.
            "intermediate_size": 0,
            "ffn_expand_ratio": _expand_ratio(mlp.intermediate_size, width),
            "hybrid_decoder_layer": "mamba",
            "mamba_d_state": mamba.state_size,
            "mamba_d_conv": mamba.conv_width,
            "mamba_expand": mamba.inner_size // width,
            "mamba2_headdim": mamba.head_dim,
            "mamba_conv_bias": True,
            "mamba_proj_bias": False,
            "d_conv": DELTANET_CONVOLUTION,
            "attn_implementation_new": "flash_attention_2",
            "use_mamba_kernels": True,
            "calc_logits_for_entire_prompt": True,
            "initializer_range": 0.02,
            "use_cache": True,
        }

    def layout(self, architecture: Architecture) -> Layout:
        """Return the names of the published checkpoints."""
        width = architecture.hidden_size
        layout = dict(outer(architecture, embedding="model.embed_tokens.weight", norm="model.final_layernorm.weight"))
        if architecture.num_meta_tokens:
            shape = (architecture.num_meta_tokens, width)
            layout["meta_tokens"] = (Part(name="model.memory_tokens", shape=shape),)
        for index, spec in enumerate(architecture.operators):
            layer = f"model.layers.{index}."
            norm = "pre_ffn_layernorm" if isinstance(spec, FFNSpec) else "input_layernorm"
            layout |= vector(f"layers.{index}.norm.weight", f"{layer}{norm}.weight", width)
            module = f"{layer}{MODULES[type(spec)]}."
            layout |= operator(spec, hidden_size=width, ours=operator_prefix(index), theirs=module)
        return layout

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return the command of TensorRT-LLM's AutoDeploy."""
        return {"tensorrt-llm": f"trtllm-serve {folder} --backend _autodeploy --trust_remote_code"}


def _expand_ratio(size: int, width: int) -> float:
    """Return what the published code, int(ratio · width) rounded down to a multiple of 128, makes `size` of."""
    return size // width if size % width == 0 else (size + 0.5) / width


def _deltanet_obstacles(architecture: Architecture) -> list[Obstacle]:
    width = architecture.hidden_size
    deltanets = rules.indexed(architecture, DeltaNetSpec)
    attends = rules.first(architecture, AttentionSpec)
    heads = attends.num_heads if attends is not None else (deltanets[0][1].num_heads if deltanets else 1)
    wanted = (
        (
            [index for index, spec in deltanets if spec.num_heads != heads],
            f"{ENGINE} gives DeltaNet the heads of attention",
            f"set num_heads of DeltaNet to {heads}",
        ),
        (
            [index for index, spec in deltanets if spec.num_heads * spec.head_dim != width],
            f"DeltaNet of {ENGINE} is as wide as the model",
            f"choose num_heads × head_dim = {width}",
        ),
        (
            [index for index, spec in deltanets if spec.conv_width != DELTANET_CONVOLUTION],
            f"convolutions of {ENGINE}'s DeltaNet span {DELTANET_CONVOLUTION} tokens",
            f"set conv_width of DeltaNet to {DELTANET_CONVOLUTION}",
        ),
        (
            [index for index, spec in deltanets if spec.output_gate],
            f"DeltaNet of {ENGINE} has no output gate",
            "set output_gate to false",
        ),
        (
            [index for index, spec in deltanets if spec.allow_negative_eigenvalues],
            f"DeltaNet of {ENGINE} writes with a strength of at most 1",
            "set allow_negative_eigenvalues to false",
        ),
    )
    found = [
        Obstacle(feature=f"{rules.where(indices)}: {condition}", remedy=remedy)
        for indices, condition, remedy in wanted
        if indices
    ]
    if attends is not None and width % heads and attends.head_dim == width // heads:
        found.append(
            Obstacle(
                feature=f"{heads} heads of {attends.head_dim}: {ENGINE} refuses a hidden_size {width} that they almost "
                "divide",
                remedy="choose another head_dim, or a hidden_size that num_heads divides",
            )
        )
    return found


def _group_obstacles(architecture: Architecture) -> list[Obstacle]:
    grouped = [index for index, spec in rules.indexed(architecture, Mamba2Spec) if spec.num_groups > 1]
    if not grouped:
        return []
    return [Obstacle(feature=f"{rules.where(grouped)}: Mamba2 of {ENGINE} has one group", remedy="set num_groups to 1")]


def _ffn_obstacles(architecture: Architecture) -> list[Obstacle]:
    found = [*rules.uniform(architecture, FFNSpec, ("activation",), engine=ENGINE)]
    other = [index for index, spec in rules.indexed(architecture, FFNSpec) if spec.activation not in ACTIVATIONS]
    if other:
        found.append(
            Obstacle(
                feature=f"{rules.where(other)}: the FFN of {ENGINE} is {' or '.join(ACTIVATIONS)}",
                remedy=f"set activation to {' or '.join(ACTIVATIONS)}",
            )
        )
    return found


def _norm_obstacles(architecture: Architecture) -> list[Obstacle]:
    norms_inside = [
        index
        for index, spec in enumerate(architecture.operators)
        if isinstance(spec, DeltaNetSpec | Mamba2Spec) or (isinstance(spec, AttentionSpec) and spec.qk_norm)
    ]
    if not norms_inside or architecture.norm_eps == INNER_EPS:
        return []
    return [
        Obstacle(
            feature=f"norm_eps {architecture.norm_eps:g}: {ENGINE} adds {INNER_EPS:g} inside the norms of "
            f"{rules.where(norms_inside)}",
            remedy=f"set norm_eps of the architecture to {INNER_EPS:g} before it is trained",
        )
    ]


def _head_obstacles(architecture: Architecture) -> list[Obstacle]:
    if architecture.tie_embeddings or not architecture.num_meta_tokens:
        return []
    return [
        Obstacle(
            feature="a head of its own beside meta tokens: the published code and TensorRT-LLM give it other shapes",
            remedy="set tie_embeddings to true, or num_meta_tokens to 0",
        )
    ]
