"""NemotronH: Mamba2, attention and relu² MLPs in any order; for transformers, vLLM, TensorRT-LLM and llama.cpp.

The configuration is that of NVIDIA's checkpoints, not what transformers would save: llama.cpp takes any word of experts
for a mixture of experts, and TensorRT-LLM reads the pattern.
"""

from typing import Any, ClassVar, Final, final

from nas.export.exporter import Obstacle
from nas.export.native import rules
from nas.export.native.emulation import Emulation, unchanged, with_ffns_of_one_size, with_own_head
from nas.export.native.exporter import NativeExporter
from nas.export.native.layout import Layout
from nas.export.native.max_tokens import MAX_TOKENS
from nas.export.native.operator_layouts import operator, operator_prefix, outer, vector
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec, Mamba2Spec

ENGINE: Final = "NemotronH"

LETTERS: Final = {Mamba2Spec: "M", AttentionSpec: "*", FFNSpec: "-"}
"""Of `hybrid_override_pattern`."""

SMALLEST_STEP: Final = 1e-30
"""transformers bounds Mamba2's step sizes from below by `time_step_min` and takes its logarithm: as good as none."""


@final
class NemotronHExporter(NativeExporter):
    """Format `nemotron-h`."""

    name: ClassVar[str] = "nemotron-h"

    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return everything that NemotronH cannot hold."""
        allowed = rules.AttentionRules(rope="never", qk_norm="never")
        return (
            *rules.other_kinds(architecture, tuple(LETTERS), engine=ENGINE, letters="a, m2 and f"),
            *rules.meta_tokens(architecture, engine=ENGINE),
            *rules.some_attention(architecture, engine=ENGINE),
            *rules.attention(architecture, allowed, engine=ENGINE),
            *rules.uniform(architecture, AttentionSpec, ("num_heads", "num_kv_heads", "head_dim"), engine=ENGINE),
            *rules.uniform(
                architecture,
                Mamba2Spec,
                ("num_heads", "head_dim", "state_size", "num_groups", "conv_width"),
                engine=ENGINE,
            ),
            *rules.mamba2_norms_each_group(architecture, engine=ENGINE),
            *rules.convolutions(architecture, engine=ENGINE),
            *rules.activations(architecture, "relu2", engine=ENGINE),
        )

    def emulation(self, architecture: Architecture) -> Emulation:
        """Return the architecture with a head of its own and FFNs of one size."""
        return with_ffns_of_one_size(with_own_head(unchanged(architecture)))

    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return NVIDIA's fields."""
        width = architecture.hidden_size
        mamba = rules.first(architecture, Mamba2Spec) or Mamba2Spec(num_heads=1, head_dim=64, state_size=16)
        attends = rules.first(architecture, AttentionSpec) or AttentionSpec(num_heads=1, num_kv_heads=1, head_dim=width)
        mlp = rules.first(architecture, FFNSpec) or FFNSpec(intermediate_size=width, activation="relu2")
        return {
            "architectures": ["NemotronHForCausalLM"],
            "model_type": "nemotron_h",
            "hybrid_override_pattern": "".join(LETTERS[type(spec)] for spec in architecture.operators),
            "num_hidden_layers": architecture.depth,
            "hidden_size": width,
            "vocab_size": architecture.vocab_size,
            "tie_word_embeddings": False,
            "layer_norm_epsilon": architecture.norm_eps,
            "rms_norm_eps": architecture.norm_eps,
            "max_position_embeddings": MAX_TOKENS,
            "num_attention_heads": attends.num_heads,
            "num_key_value_heads": attends.num_kv_heads,
            "head_dim": attends.head_dim,
            "attention_head_dim": attends.head_dim,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "sliding_window": None,
            "intermediate_size": mlp.intermediate_size,
            "mlp_hidden_act": "relu2",
            "mlp_bias": False,
            "mamba_num_heads": mamba.num_heads,
            "mamba_head_dim": mamba.head_dim,
            # llama.cpp takes it for 64 where it is not said, and wants the inner width to be a multiple.
            "mamba_d_head": mamba.head_dim,
            "ssm_state_size": mamba.state_size,
            "n_groups": mamba.num_groups,
            "conv_kernel": mamba.conv_width,
            "expand": max(1, mamba.inner_size // width),
            "use_conv_bias": True,
            "mamba_hidden_act": "silu",
            "mamba_proj_bias": False,
            "use_bias": False,
            "chunk_size": 128,
            "time_step_min": SMALLEST_STEP,
            "time_step_floor": SMALLEST_STEP,
            "residual_in_fp32": False,
            "hidden_dropout": 0.0,
            "use_cache": True,
        }

    def layout(self, architecture: Architecture) -> Layout:
        """Return the names of NVIDIA's checkpoints, which begin with `backbone`."""
        width = architecture.hidden_size
        layout = dict(outer(architecture, embedding="backbone.embeddings.weight", norm="backbone.norm_f.weight"))
        for index, spec in enumerate(architecture.operators):
            layer = f"backbone.layers.{index}."
            layout |= vector(f"layers.{index}.norm.weight", f"{layer}norm.weight", width)
            layout |= operator(spec, hidden_size=width, ours=operator_prefix(index), theirs=f"{layer}mixer.")
        return layout

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return the commands of four engines."""
        return {
            "transformers": f"transformers serve {folder}",
            "vllm": f"vllm serve {folder}",
            "tensorrt-llm": f"trtllm-serve {folder}",
            "llama.cpp": f"python convert_hf_to_gguf.py {folder} --outfile model.gguf && llama-server -m model.gguf",
        }
