"""Layers that are a mixer and the FFN behind it, and what their parts are called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nas.export.native.layout import Layout
from nas.export.native.operator_layouts import ffn, operator_prefix, outer, vector
from search_spaces import Architecture
from search_spaces.specs import FFNSpec, OperatorSpec


class OperatorLayout(Protocol):
    """Where the parameters of one operator are."""

    def __call__(self, spec: FFNSpec, *, hidden_size: int, ours: str, theirs: str) -> Layout:
        """Return them by our names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockNames:
    """What an architecture calls its parts, each within its layer where it has one."""

    embedding: str = "model.embed_tokens.weight"
    norm: str = "model.norm.weight"
    layers: str = "model.layers."
    mixer_norm: str = "input_layernorm.weight"
    ffn_norm: str = "post_attention_layernorm.weight"
    ffn: str = "mlp."


def mixers(architecture: Architecture) -> tuple[OperatorSpec, ...]:
    """Return the mixer of each layer, of operators that are mixer and FFN by turns."""
    return architecture.operators[::2]


def block_layout(
    architecture: Architecture,
    names: BlockNames,
    *,
    mixer: Callable[[OperatorSpec, int, str, str], Layout],
    ffn_layout: OperatorLayout = ffn,
) -> Layout:
    """Return the layout of operators that are mixer and FFN by turns.

    Args:
        architecture: whose parameters.
        names: of the parts.
        mixer: returns the layout of a mixer from its spec, the model's width, our prefix and that of their layer.
        ffn_layout: returns that of an FFN.
    """
    width = architecture.hidden_size
    layout = dict(outer(architecture, embedding=names.embedding, norm=names.norm))
    for index, spec in enumerate(architecture.operators):
        layer, ours = f"{names.layers}{index // 2}.", operator_prefix(index)
        is_ffn = isinstance(spec, FFNSpec)
        layout |= vector(
            f"layers.{index}.norm.weight", f"{layer}{names.ffn_norm if is_ffn else names.mixer_norm}", width
        )
        if isinstance(spec, FFNSpec):
            layout |= ffn_layout(spec, hidden_size=width, ours=ours, theirs=f"{layer}{names.ffn}")
        else:
            layout |= mixer(spec, width, ours, layer)
    return layout
