"""Qwen3.5, dense: gated DeltaNet or attention, and SwiGLU; for transformers and vLLM.

Its norms are stored as w − 1, and its attention multiplies what it returns by sigmoid(gate), where the rows of a head's
gate follow those of its query. Without a gate it stays at one half: sigmoid of zero, made good by doubling the output
projection.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final, final

from nas.errors import ModelImportError
from nas.export.exporter import Obstacle
from nas.export.native import rules
from nas.export.native.blocks import BlockNames, block_layout, mixers
from nas.export.native.emulation import (
    Emulation,
    unchanged,
    with_constant_memory,
    with_ffn_behind_mixers,
    with_ffns_of_one_size,
)
from nas.export.native.exporter import NativeExporter
from nas.export.native.layout import Layout
from nas.export.native.max_tokens import MAX_TOKENS
from nas.export.native.operator_layouts import operator
from nas.export.native.rope import rope_config
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, DeltaNetSpec, FFNSpec, GatedDeltaNetSpec, OperatorSpec

if TYPE_CHECKING:
    from torch import Tensor

ENGINE: Final = "Qwen3.5"

_STORED_MINUS_ONE: Final = ("layernorm.weight", "q_norm.weight", "k_norm.weight", "model.norm.weight")
_QUERIES: Final = "q_proj.weight"
_GATES: Final = "g_proj.weight"
_OUTPUT: Final = "o_proj.weight"


@final
class Qwen35Exporter(NativeExporter):
    """Format `qwen3.5`."""

    name: ClassVar[str] = "qwen3.5"

    def obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return everything that Qwen3.5 cannot hold."""
        ungated = [index for index, spec in rules.indexed(architecture, DeltaNetSpec) if not spec.output_gate]
        becomes = with_constant_memory(unchanged(architecture)).architecture
        kinds = (AttentionSpec, GatedDeltaNetSpec, DeltaNetSpec, FFNSpec)
        allowed = rules.AttentionRules(rope="always", qk_norm="always", partial_rotation=True, output_gate=True)
        gated = rules.indexed(becomes, GatedDeltaNetSpec)
        return (
            *rules.other_kinds(architecture, kinds, engine=ENGINE, letters="gd, a and f"),
            *_struck(ungated, "Qwen3.5 gates the output of every DeltaNet", "set output_gate to true"),
            *_struck(
                [index for index, spec in gated if not spec.output_gate],
                "Qwen3.5 gates the output of every gated DeltaNet",
                "set output_gate to true",
            ),
            *_struck(
                [index for index, spec in gated if spec.allow_negative_eigenvalues],
                "Qwen3.5 writes with a strength of at most 1",
                "set allow_negative_eigenvalues to false",
            ),
            *rules.meta_tokens(architecture, engine=ENGINE),
            *rules.some_attention(architecture, engine=ENGINE),
            *rules.attention(architecture, allowed, engine=ENGINE),
            *rules.uniform(
                architecture,
                AttentionSpec,
                ("num_heads", "num_kv_heads", "head_dim", "rope_theta", "rotary_fraction"),
                engine=ENGINE,
            ),
            *rules.uniform(
                becomes,
                GatedDeltaNetSpec,
                ("num_heads", "head_dim", "value_heads", "value_dim", "conv_width"),
                engine=ENGINE,
            ),
            *rules.convolutions(architecture, engine=ENGINE),
            *rules.activations(architecture, "swiglu", engine=ENGINE),
            *rules.ffns_behind_mixers(architecture, engine=ENGINE),
        )

    def emulation(self, architecture: Architecture) -> Emulation:
        """Return the architecture with gated DeltaNets only and an FFN of one size behind each mixer."""
        return with_ffns_of_one_size(with_ffn_behind_mixers(with_constant_memory(unchanged(architecture))))

    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return the fields of the text model."""
        attends = rules.first(architecture, AttentionSpec)
        linear = rules.first(architecture, GatedDeltaNetSpec) or GatedDeltaNetSpec(num_heads=1, head_dim=16)
        ffn = rules.first(architecture, FFNSpec)
        assert ffn is not None
        heads: dict[str, Any] = {
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "head_dim": 64,
            "max_position_embeddings": MAX_TOKENS,
        }
        if attends is not None:
            heads = {
                "num_attention_heads": attends.num_heads,
                "num_key_value_heads": attends.num_kv_heads,
                "head_dim": attends.head_dim,
                **rope_config(attends),
                "partial_rotary_factor": attends.rotary_fraction,
            }
            # A quarter of each head where this is not said.
            heads["rope_parameters"]["partial_rotary_factor"] = attends.rotary_fraction
        return {
            "architectures": ["Qwen3_5ForCausalLM"],
            "model_type": "qwen3_5_text",
            "layer_types": [
                "full_attention" if isinstance(spec, AttentionSpec) else "linear_attention"
                for spec in mixers(architecture)
            ],
            "num_hidden_layers": len(mixers(architecture)),
            "hidden_size": architecture.hidden_size,
            "intermediate_size": ffn.intermediate_size,
            "hidden_act": "silu",
            "vocab_size": architecture.vocab_size,
            "tie_word_embeddings": architecture.tie_embeddings,
            "rms_norm_eps": architecture.norm_eps,
            "attention_bias": False,
            "attention_dropout": 0.0,
            "attn_output_gate": True,
            "linear_num_key_heads": linear.num_heads,
            "linear_key_head_dim": linear.head_dim,
            "linear_num_value_heads": linear.value_heads,
            "linear_value_head_dim": linear.value_dim,
            "linear_conv_kernel_dim": linear.conv_width,
            "use_cache": True,
            **heads,
        }

    def layout(self, architecture: Architecture) -> Layout:
        """Return the names of the text model, before anything is folded."""
        return block_layout(architecture, BlockNames(), mixer=_mixer)

    def folded_words(self, architecture: Architecture) -> tuple[str, ...]:
        """Return what stands for attention without a gate."""
        ungated = [index for index, spec in rules.indexed(architecture, AttentionSpec) if not spec.output_gate]
        if not ungated:
            return ()
        return ("attention's output gate is held at one half by zeros, and its output projection doubled",)

    def fold(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return norms less 1, queries with a gate beside each head, and without a gate output projections doubled."""
        folded = {name: tensor - 1 if name.endswith(_STORED_MINUS_ONE) else tensor for name, tensor in foreign.items()}
        for prefix, spec in _attention(architecture):
            queries = foreign[f"{prefix}{_QUERIES}"]
            gates = folded.pop(f"{prefix}{_GATES}") if spec.output_gate else queries.new_zeros(queries.shape)
            folded[f"{prefix}{_QUERIES}"] = _interleaved(queries, gates, num_heads=spec.num_heads)
            if not spec.output_gate:
                folded[f"{prefix}{_OUTPUT}"] = 2 * foreign[f"{prefix}{_OUTPUT}"]
        return folded

    def unfold(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return norms plus 1, and queries and gates apart, of attention that is taken to be gated everywhere."""
        ours = {name: tensor + 1 if name.endswith(_STORED_MINUS_ONE) else tensor for name, tensor in foreign.items()}
        for prefix, spec in _attention(architecture):
            if (name := f"{prefix}{_QUERIES}") in foreign:
                ours[name], ours[f"{prefix}{_GATES}"] = _apart(name, foreign[name], spec)
        return ours

    def serve_commands(self, folder: str) -> dict[str, str]:
        """Return the commands of two engines."""
        return {"transformers": f"transformers serve {folder}", "vllm": f"vllm serve {folder}"}


def _attention(architecture: Architecture) -> Iterator[tuple[str, AttentionSpec]]:
    """Return every attention with what the names of its tensors begin with."""
    for layer, spec in enumerate(mixers(architecture)):
        if isinstance(spec, AttentionSpec):
            yield f"model.layers.{layer}.self_attn.", spec


def _interleaved(queries: "Tensor", gates: "Tensor", *, num_heads: int) -> "Tensor":
    """Return the rows of each head's query, then of its gate, head by head."""
    import torch

    halves_HKD = [rows.reshape(num_heads, -1, rows.shape[1]) for rows in (queries, gates)]
    return torch.cat(halves_HKD, dim=1).flatten(0, 1)


def _apart(name: str, tensor: "Tensor", spec: AttentionSpec) -> tuple["Tensor", "Tensor"]:
    rows = 2 * spec.num_heads * spec.head_dim
    if tensor.shape[0] != rows:
        raise ModelImportError(f"{name} must have {rows} rows, queries and gates; got {tensor.shape[0]}.")
    queries_HKD, gates_HKD = tensor.reshape(spec.num_heads, 2 * spec.head_dim, -1).chunk(2, dim=1)
    return queries_HKD.flatten(0, 1), gates_HKD.flatten(0, 1)


def _mixer(spec: OperatorSpec, width: int, ours: str, layer: str) -> Layout:
    module = "linear_attn" if isinstance(spec, GatedDeltaNetSpec) else "self_attn"
    return operator(spec, hidden_size=width, ours=ours, theirs=f"{layer}{module}.")


def _struck(indices: list[int], condition: str, remedy: str) -> tuple[Obstacle, ...]:
    return (Obstacle(feature=f"{rules.where(indices)}: {condition}", remedy=remedy),) if indices else ()
