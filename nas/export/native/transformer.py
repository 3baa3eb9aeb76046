"""What qwen3 and llama share: attention with rotary embedding and a SwiGLU behind it, in every layer."""

from abc import abstractmethod
from typing import Any, ClassVar

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
from nas.export.native.operator_layouts import operator
from nas.export.native.rope import rope_config
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, OperatorSpec


class TransformerExporter(NativeExporter):
    """Layers of attention and SwiGLU."""

    engine: ClassVar[str]
    rules: ClassVar[rules.AttentionRules]
    model_type: ClassVar[str]
    class_name: ClassVar[str]

    @abstractmethod
    def further_obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return what this architecture cannot hold and the other can."""

    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return everything that the architecture cannot hold."""
        engine = self.engine
        return (
            *rules.other_kinds(architecture, (AttentionSpec, FFNSpec), engine=engine, letters="a and f"),
            *rules.some_attention(architecture, engine=engine),
            *rules.meta_tokens(architecture, engine=engine),
            *rules.attention(architecture, self.rules, engine=engine),
            *rules.uniform(
                architecture,
                AttentionSpec,
                ("num_heads", "num_kv_heads", "head_dim", "rope_theta", "rope_scaling", "bias"),
                engine=engine,
            ),
            *rules.activations(architecture, "swiglu", engine=engine),
            *rules.ffns_behind_mixers(architecture, engine=engine),
            *self.further_obstacles(architecture),
        )

    def emulation(self, architecture: Architecture) -> Emulation:
        """Return the architecture with an FFN of one size behind each attention."""
        return with_ffns_of_one_size(with_ffn_behind_mixers(unchanged(architecture)))

    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return the fields that both read."""
        attends = rules.first(architecture, AttentionSpec)
        ffn = rules.first(architecture, FFNSpec)
        assert attends is not None
        assert ffn is not None
        return {
            "architectures": [self.class_name],
            "model_type": self.model_type,
            "num_hidden_layers": len(mixers(architecture)),
            "hidden_size": architecture.hidden_size,
            "intermediate_size": ffn.intermediate_size,
            "hidden_act": "silu",
            "vocab_size": architecture.vocab_size,
            "tie_word_embeddings": architecture.tie_embeddings,
            "rms_norm_eps": architecture.norm_eps,
            "num_attention_heads": attends.num_heads,
            "num_key_value_heads": attends.num_kv_heads,
            "head_dim": attends.head_dim,
            "attention_bias": attends.bias,
            "attention_dropout": 0.0,
            "use_cache": True,
            **rope_config(attends),
        }

    def layout(self, architecture: Architecture) -> Layout:
        """Return the names of Llama, which both keep."""
        return block_layout(architecture, BlockNames(), mixer=_attention)

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return the commands of four engines."""
        return {
            "transformers": f"transformers serve {folder}",
            "vllm": f"vllm serve {folder}",
            "tensorrt-llm": f"trtllm-serve {folder}",
            "llama.cpp": f"python convert_hf_to_gguf.py {folder} --outfile model.gguf && llama-server -m model.gguf",
        }


def _attention(spec: OperatorSpec, width: int, ours: str, layer: str) -> Layout:
    return operator(spec, hidden_size=width, ours=ours, theirs=f"{layer}self_attn.")
