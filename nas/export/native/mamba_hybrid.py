"""What granite and bamba share: Mamba2 or attention in every layer, and SwiGLU behind it."""

from abc import abstractmethod
from typing import Any, ClassVar, Final

from nas.export.exporter import Obstacle
from nas.export.native import rules
from nas.export.native.blocks import mixers
from nas.export.native.emulation import (
    Emulation,
    unchanged,
    with_ffn_behind_mixers,
    with_ffns_of_one_size,
)
from nas.export.native.exporter import NativeExporter
from nas.export.native.layout import Layout
from nas.export.native.operator_layouts import operator
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, Mamba2Spec, OperatorSpec

_MAMBA_FIELDS: Final = ("num_heads", "head_dim", "state_size", "num_groups", "conv_width")
_ATTENTION_FIELDS: Final = (
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "rope_theta",
    "rotary_fraction",
    "rope_scaling",
    "bias",
)


class MambaHybridExporter(NativeExporter):
    """Layers of Mamba2 or attention, and SwiGLU."""

    engine: ClassVar[str]
    rules: ClassVar[rules.AttentionRules]

    @abstractmethod
    def own_config(self, architecture: Architecture) -> dict[str, Any]:
        """Return the fields that only this architecture has."""

    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return everything that the architecture cannot hold."""
        engine = self.engine
        kinds = (AttentionSpec, Mamba2Spec, FFNSpec)
        return (
            *rules.other_kinds(architecture, kinds, engine=engine, letters="a, m2 and f"),
            *rules.meta_tokens(architecture, engine=engine),
            *rules.some_attention(architecture, engine=engine),
            *rules.attention(architecture, self.rules, engine=engine),
            *rules.uniform(architecture, AttentionSpec, _ATTENTION_FIELDS, engine=engine),
            *rules.uniform(architecture, Mamba2Spec, _MAMBA_FIELDS, engine=engine),
            *rules.mamba2_fills_width(architecture, engine=engine),
            *rules.mamba2_norms_each_group(architecture, engine=engine),
            *rules.convolutions(architecture, engine=engine),
            *rules.activations(architecture, "swiglu", engine=engine),
            *rules.ffns_behind_mixers(architecture, engine=engine),
        )

    def emulation(self, architecture: Architecture) -> Emulation:
        """Return the architecture with an FFN of one size behind each mixer."""
        return with_ffns_of_one_size(with_ffn_behind_mixers(unchanged(architecture)))

    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return the fields that both read, and its own."""
        width = architecture.hidden_size
        attends = rules.first(architecture, AttentionSpec) or AttentionSpec(num_heads=1, num_kv_heads=1, head_dim=width)
        mamba = rules.first(architecture, Mamba2Spec) or Mamba2Spec(num_heads=1, head_dim=width, state_size=16)
        return {
            "num_hidden_layers": len(mixers(architecture)),
            "hidden_size": width,
            "hidden_act": "silu",
            "vocab_size": architecture.vocab_size,
            "tie_word_embeddings": architecture.tie_embeddings,
            "rms_norm_eps": architecture.norm_eps,
            "num_attention_heads": attends.num_heads,
            "num_key_value_heads": attends.num_kv_heads,
            "attention_bias": attends.bias,
            "attention_dropout": 0.0,
            "mamba_n_heads": mamba.num_heads,
            "mamba_d_head": mamba.head_dim,
            "mamba_n_groups": mamba.num_groups,
            "mamba_d_state": mamba.state_size,
            "mamba_d_conv": mamba.conv_width,
            "mamba_expand": mamba.inner_size // width,
            "mamba_chunk_size": 256,
            "mamba_conv_bias": True,
            "mamba_proj_bias": False,
            "use_cache": True,
            **self.own_config(architecture),
        }


def mixer_layout(spec: OperatorSpec, width: int, ours: str, layer: str) -> Layout:
    """Return the names of either mixer within its layer."""
    module = "mamba" if isinstance(spec, Mamba2Spec) else "self_attn"
    return operator(spec, hidden_size=width, ours=ours, theirs=f"{layer}{module}.")
