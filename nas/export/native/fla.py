"""flash-linear-attention's DeltaNet model: DeltaNet or attention, and SwiGLU. It runs on a GPU only."""

from typing import Any, ClassVar, Final, final

from nas.export.exporter import Obstacle
from nas.export.native import rules
from nas.export.native.blocks import BlockNames, block_layout, mixers
from nas.export.native.emulation import (
    Emulation,
    unchanged,
    with_ffn_behind_mixers,
    with_ffns_of_one_size,
)
from nas.export.native.exporter import NativeExporter
from nas.export.native.layout import Layout
from nas.export.native.max_tokens import MAX_TOKENS
from nas.export.native.operator_layouts import operator
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, DeltaNetSpec, FFNSpec, OperatorSpec

ENGINE: Final = "fla's DeltaNet"

NAMES: Final = BlockNames(
    embedding="model.embeddings.weight", mixer_norm="attn_norm.weight", ffn_norm="mlp_norm.weight"
)


@final
class FlaExporter(NativeExporter):
    """Format `fla`."""

    name: ClassVar[str] = "fla"

    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return everything that fla's DeltaNet model cannot hold."""
        allowed = rules.AttentionRules(rope="always", qk_norm="never", bias=True, window=True, fills_width=True)
        turning = [
            index for index, spec in rules.indexed(architecture, DeltaNetSpec) if spec.allow_negative_eigenvalues
        ]
        return (
            *rules.other_kinds(
                architecture, (DeltaNetSpec, AttentionSpec, FFNSpec), engine=ENGINE, letters="d, a, w and f"
            ),
            *rules.meta_tokens(architecture, engine=ENGINE),
            *rules.attention(architecture, allowed, engine=ENGINE),
            *rules.uniform(
                architecture,
                AttentionSpec,
                ("num_heads", "num_kv_heads", "window", "rope_theta", "bias"),
                engine=ENGINE,
            ),
            *rules.uniform(
                architecture, DeltaNetSpec, ("num_heads", "head_dim", "conv_width", "output_gate"), engine=ENGINE
            ),
            *(
                [
                    Obstacle(
                        feature=f"{rules.where(turning)}: {ENGINE} has no field for strengths up to 2",
                        remedy="set allow_negative_eigenvalues to false",
                    )
                ]
                if turning
                else []
            ),
            *rules.convolutions(architecture, engine=ENGINE),
            *rules.activations(architecture, "swiglu", engine=ENGINE),
            *rules.ffns_behind_mixers(architecture, engine=ENGINE),
        )

    def emulation(self, architecture: Architecture) -> Emulation:
        """Return the architecture with an FFN of one size behind each mixer."""
        return with_ffns_of_one_size(with_ffn_behind_mixers(unchanged(architecture)))

    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return the fields of DeltaNetConfig."""
        width = architecture.hidden_size
        attends = rules.first(architecture, AttentionSpec)
        delta = rules.first(architecture, DeltaNetSpec) or DeltaNetSpec(num_heads=1, head_dim=width)
        ffn = rules.first(architecture, FFNSpec)
        assert ffn is not None
        expansion = _expansion(delta.num_heads * delta.head_dim, width)
        return {
            "architectures": ["DeltaNetForCausalLM"],
            "model_type": "delta_net",
            "attn_mode": "chunk",
            "num_hidden_layers": len(mixers(architecture)),
            "hidden_size": width,
            "vocab_size": architecture.vocab_size,
            "tie_word_embeddings": architecture.tie_embeddings,
            "norm_eps": architecture.norm_eps,
            "max_position_embeddings": MAX_TOKENS,
            "num_heads": delta.num_heads,
            "expand_k": expansion,
            "expand_v": expansion,
            "use_gate": delta.output_gate,
            "use_beta": True,
            "use_short_conv": True,
            "use_output_norm": True,
            "conv_size": delta.conv_width,
            "qk_norm": "l2",
            "qk_activation": "silu",
            "hidden_ratio": None,
            "intermediate_size": ffn.intermediate_size,
            "hidden_act": "swish",
            "attn": None
            if attends is None
            else {
                "layers": [index for index, spec in enumerate(mixers(architecture)) if isinstance(spec, AttentionSpec)],
                "num_heads": attends.num_heads,
                "num_kv_heads": attends.num_kv_heads,
                "qkv_bias": attends.bias,
                "window_size": attends.window,
                "rope_theta": attends.rope_theta,
            },
            "use_cache": True,
        }

    def layout(self, architecture: Architecture) -> Layout:
        """Return fla's names."""
        return block_layout(architecture, NAMES, mixer=_mixer)

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return how Python loads it, once fla has taught transformers its models."""
        load = f"import fla.models, transformers as t; t.AutoModelForCausalLM.from_pretrained('{folder}')"
        return {"fla": f'python -c "{load}"'}


def _expansion(inner: int, width: int) -> float:
    """Return what fla, int(width · expansion), makes the inner width of."""
    return inner // width if inner % width == 0 else (inner + 0.5) / width


def _mixer(spec: OperatorSpec, width: int, ours: str, layer: str) -> Layout:
    return operator(spec, hidden_size=width, ours=ours, theirs=f"{layer}attn.")
