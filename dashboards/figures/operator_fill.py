"""How the bar of a kind of operator is filled: with colour and hatching, or as an outline. Not the bars themselves."""

from typing import Any

from dashboards import palette
from dashboards.operators_style import OperatorStyle


def operator_fill(style: OperatorStyle, *, opacity: float = 0.35) -> dict[str, Any]:
    """Return the marker of a filled bar; pale kinds have an edge.

    Args:
        style: of the kind.
        opacity: of the hatching; less under words.
    """
    return {
        "color": style.colour,
        "line": {"color": style.edge or palette.SURFACE, "width": 1},
        "pattern": _hatching(style, colour=style.ink, opacity=opacity),
    }


def operator_outline(style: OperatorStyle) -> dict[str, Any]:
    """Return the marker of a bar that is hatched in its kind's colour and otherwise empty."""
    colour = style.edge or style.colour
    return {
        "color": palette.SURFACE,
        "line": {"color": colour, "width": 1.4},
        "pattern": _hatching(style, colour=colour, opacity=0.6),
    }


def _hatching(style: OperatorStyle, *, colour: str, opacity: float) -> dict[str, Any]:
    return {
        "shape": style.hatch,
        "fillmode": "overlay",
        "fgcolor": colour,
        "fgopacity": opacity,
        "size": 7,
        "solidity": 0.14,
    }
