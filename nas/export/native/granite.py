"""GraniteMoeHybrid without experts: Mamba2 or attention, and SwiGLU; for transformers and vLLM.

llama.cpp reads it too, but has its own mind about rotary embeddings: none beside Mamba2, always without.
"""

from typing import TYPE_CHECKING, Any, ClassVar, final

from nas.export.native.blocks import BlockNames, block_layout, mixers
from nas.export.native.layout import Layout, Part
from nas.export.native.mamba_hybrid import MambaHybridExporter, mixer_layout
from nas.export.native.max_tokens import MAX_TOKENS
from nas.export.native.rope import rope_config
from nas.export.native.rules import AttentionRules, first
from nas.export.native.zero_bias import WORDS, with_zero_biases, without_zero_biases
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec

if TYPE_CHECKING:
    from torch import Tensor


@final
class GraniteExporter(MambaHybridExporter):
    """Format `granite`."""

    name: ClassVar[str] = "granite"
    engine: ClassVar[str] = "GraniteMoeHybrid"
    rules: ClassVar[AttentionRules] = AttentionRules(
        rope="either", qk_norm="never", bias=True, frequency_scaling=True, fills_width=True
    )

    def own_config(self, architecture: Architecture) -> dict[str, Any]:
        """Return Granite's multipliers at 1, no experts, and the types of the layers."""
        attends, ffn = first(architecture, AttentionSpec), first(architecture, FFNSpec)
        assert ffn is not None
        rotates = attends is not None and attends.rope_theta is not None
        return {
            "architectures": ["GraniteMoeHybridForCausalLM"],
            "model_type": "granitemoehybrid",
            "layer_types": [
                "attention" if isinstance(spec, AttentionSpec) else "mamba" for spec in mixers(architecture)
            ],
            "intermediate_size": ffn.intermediate_size,
            "shared_intermediate_size": ffn.intermediate_size,
            "num_local_experts": 0,
            "num_experts_per_tok": 0,
            "embedding_multiplier": 1.0,
            "residual_multiplier": 1.0,
            "logits_scaling": 1.0,
            "attention_multiplier": 1.0 if attends is None else attends.head_dim**-0.5,
            "position_embedding_type": "rope" if rotates else "nope",
            **(rope_config(attends) if attends is not None and rotates else {"max_position_embeddings": MAX_TOKENS}),
        }

    def layout(self, architecture: Architecture) -> Layout:
        """Return Granite's names."""
        return block_layout(
            architecture, BlockNames(ffn="shared_mlp."), mixer=mixer_layout, ffn_layout=_gate_and_up_in_one
        )

    def folded_words(self, architecture: Architecture) -> tuple[str, ...]:
        """Return that the output projections get biases of zero where q, k and v have biases."""
        return (WORDS,) if _has_biases(architecture) else ()

    def fold(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return the tensors with those biases."""
        return with_zero_biases(foreign) if _has_biases(architecture) else foreign

    def unfold(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return the tensors without them."""
        return without_zero_biases(foreign) if _has_biases(architecture) else foreign

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return the commands of two engines."""
        return {"transformers": f"transformers serve {folder}", "vllm": f"vllm serve {folder}"}


def _has_biases(architecture: Architecture) -> bool:
    attends = first(architecture, AttentionSpec)
    return attends is not None and attends.bias


def _gate_and_up_in_one(spec: FFNSpec, *, hidden_size: int, ours: str, theirs: str) -> Layout:
    width = spec.intermediate_size
    return {
        f"{ours}in_projection.weight": (Part(name=f"{theirs}input_linear.weight", shape=(2 * width, hidden_size)),),
        f"{ours}output.weight": (Part(name=f"{theirs}output_linear.weight", shape=(hidden_size, width)),),
    }
