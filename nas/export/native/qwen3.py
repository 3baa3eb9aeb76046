"""Qwen3: attention with rotary embedding and normed queries and keys, and SwiGLU."""

from typing import Any, ClassVar, final

from nas.export.exporter import Obstacle
from nas.export.native.rules import AttentionRules
from nas.export.native.transformer import TransformerExporter
from search_spaces import Architecture


@final
class Qwen3Exporter(TransformerExporter):
    """Format `qwen3`."""

    name: ClassVar[str] = "qwen3"
    engine: ClassVar[str] = "Qwen3"
    rules: ClassVar[AttentionRules] = AttentionRules(rope="always", qk_norm="always", frequency_scaling=True)
    model_type: ClassVar[str] = "qwen3"
    class_name: ClassVar[str] = "Qwen3ForCausalLM"

    def further_obstacles(self, architecture: Architecture) -> tuple[Obstacle, ...]:
        """Return nothing: a head may have any width."""
        del architecture
        return ()

    def config(self, architecture: Architecture) -> dict[str, Any]:
        """Return Llama's fields, and that no layer has a window: engines read those of Qwen3 differently."""
        return super().config(architecture) | {"use_sliding_window": False, "sliding_window": None}
