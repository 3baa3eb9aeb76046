"""Llama: attention with rotary embedding, and SwiGLU."""

from typing import TYPE_CHECKING, Any, ClassVar, final

from nas.export.exporter import Obstacle
from nas.export.native.rules import AttentionRules, first
from nas.export.native.transformer import TransformerExporter
from nas.export.native.zero_bias import WORDS, with_zero_biases, without_zero_biases
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec

if TYPE_CHECKING:
    from torch import Tensor


@final
class LlamaExporter(TransformerExporter):
    """Format `llama`."""

    name: ClassVar[str] = "llama"
    engine: ClassVar[str] = "Llama"
    rules: ClassVar[AttentionRules] = AttentionRules(rope="always", qk_norm="never", bias=True, frequency_scaling=True)
    model_type: ClassVar[str] = "llama"
    class_name: ClassVar[str] = "LlamaForCausalLM"

    def further_obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return that the width must be a multiple of the heads, which the configuration insists on."""
        attends, width = first(architecture, AttentionSpec), architecture.hidden_size
        if attends is None or width % attends.num_heads == 0:
            return ()
        possible = [str(number) for number in range(1, width + 1) if width % number == 0]
        return (
            Obstacle(
                feature=f"{attends.num_heads} heads: Llama's hidden_size, {width}, must be a multiple of them",
                remedy=f"choose num_heads among {', '.join(possible)}",
            ),
        )

    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return the fields of Llama."""
        return super().config(architecture) | {"mlp_bias": False, "pretraining_tp": 1}

    def folded_words(self, architecture: Architecture) -> tuple[str, ...]:
        """Return that the output projections get biases of zero where q, k and v have biases."""
        attends = first(architecture, AttentionSpec)
        return (WORDS,) if attends is not None and attends.bias else ()

    def fold(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return the tensors with those biases."""
        attends = first(architecture, AttentionSpec)
        return with_zero_biases(foreign) if attends is not None and attends.bias else foreign

    def unfold(self, foreign: dict[str, "Tensor"], architecture: Architecture) -> dict[str, "Tensor"]:
        """Return the tensors without them."""
        attends = first(architecture, AttentionSpec)
        return without_zero_biases(foreign) if attends is not None and attends.bias else foreign
