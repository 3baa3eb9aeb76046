"""Bamba: Mamba2 or attention with rotary embedding, and SwiGLU; for transformers, vLLM and llama.cpp."""

from typing import Any, ClassVar, final

from nas.export.native.blocks import BlockNames, block_layout, mixers
from nas.export.native.layout import Layout
from nas.export.native.mamba_hybrid import MambaHybridExporter, mixer_layout
from nas.export.native.max_tokens import MAX_TOKENS
from nas.export.native.rope import rope_config
from nas.export.native.rules import AttentionRules, first
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec


@final
class BambaExporter(MambaHybridExporter):
    """Format `bamba`."""

    name: ClassVar[str] = "bamba"
    engine: ClassVar[str] = "Bamba"
    rules: ClassVar[AttentionRules] = AttentionRules(
        rope="always", qk_norm="never", partial_rotation=True, fills_width=True
    )

    def own_config(self, architecture: Architecture) -> dict[str, Any]:
        """Return where attention is, and how much of its heads rotates."""
        attends, ffn = first(architecture, AttentionSpec), first(architecture, FFNSpec)
        assert ffn is not None
        rotation: dict[str, Any] = {"max_position_embeddings": MAX_TOKENS}
        if attends is not None:
            rotation = rope_config(attends)
            # transformers takes half of each head where this is not said; other engines read attn_rotary_emb.
            rotation["rope_parameters"]["partial_rotary_factor"] = attends.rotary_fraction
            rotation |= {"partial_rotary_factor": attends.rotary_fraction, "attn_rotary_emb": attends.rotary_dim}
        return {
            "architectures": ["BambaForCausalLM"],
            "model_type": "bamba",
            "attn_layer_indices": [
                index for index, spec in enumerate(mixers(architecture)) if isinstance(spec, AttentionSpec)
            ],
            "intermediate_size": ffn.intermediate_size,
            "mlp_bias": False,
            **rotation,
        }

    def layout(self, architecture: Architecture) -> Layout:
        """Return Bamba's names."""
        names = BlockNames(norm="model.final_layernorm.weight", ffn_norm="pre_ff_layernorm.weight", ffn="feed_forward.")
        return block_layout(architecture, names, mixer=mixer_layout)

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return the commands of three engines."""
        return {
            "transformers": f"transformers serve {folder}",
            "vllm": f"vllm serve {folder}",
            "llama.cpp": f"python convert_hf_to_gguf.py {folder} --outfile model.gguf && llama-server -m model.gguf",
        }
