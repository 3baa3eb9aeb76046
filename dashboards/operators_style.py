"""How each kind of operator looks: colour, letter and hatching, so that colour never stands alone.

Token mixers are coloured and FFNs grey, for the mix is what a search decides. The hues (blue, gold, brick, violet) stay
apart in the common forms of colour blindness and differ in lightness.
"""

from dataclasses import dataclass
from typing import Final

from search_spaces import LETTERS, AttentionSpec, OperatorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorStyle:
    """The look of one kind."""

    label: str
    letter: str
    """Pattern letter; empty for what is no operator."""

    colour: str
    ink: str
    """Colour of text on `colour`; at least 4.5:1."""

    hatch: str = ""
    """Fill pattern in Plotly's notation; empty is plain."""


_DARK = "#1b2530"
_LIGHT = "#ffffff"

STYLES: Final = {
    "attention": OperatorStyle(label="attention", letter="a", colour="#b5472f", ink=_LIGHT),
    "sliding_window_attention": OperatorStyle(
        label="sliding-window attention", letter="w", colour="#eba88c", ink=_DARK, hatch="/"
    ),
    "mamba2": OperatorStyle(label="Mamba2", letter="m2", colour="#2c6693", ink=_LIGHT, hatch="."),
    "mamba1": OperatorStyle(label="Mamba", letter="m1", colour="#8fbbdc", ink=_DARK, hatch="."),
    "deltanet": OperatorStyle(label="DeltaNet", letter="d", colour="#e2b13c", ink=_DARK, hatch="\\"),
    "gated_deltanet": OperatorStyle(label="Gated DeltaNet", letter="gd", colour="#f3dd9b", ink=_DARK, hatch="x"),
    "hybrid_head": OperatorStyle(label="hybrid head", letter="hh", colour="#76508f", ink=_LIGHT, hatch="+"),
    "fla": OperatorStyle(label="layer of fla", letter="fla", colour="#4f7f74", ink=_LIGHT, hatch="|"),
    "ffn": OperatorStyle(label="FFN", letter="f", colour="#cfd5dc", ink="#3c4754"),
    "fixed": OperatorStyle(label="fixed parts", letter="", colour="#eceff2", ink=_DARK, hatch="-"),
}
"""Every kind that has a look of its own, by name."""

UNKNOWN_COLOURS: Final = ("#7c8896", "#a99f92", "#8a9a84")


def operator_name(spec: OperatorSpec) -> str:
    """Return the name under which latency and style know an operator."""
    if isinstance(spec, AttentionSpec) and spec.window is not None:
        return "sliding_window_attention"
    return spec.kind


def style_of(name: str) -> OperatorStyle:
    """Return the style of a kind; a kind without one gets a neutral colour that is always the same."""
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    if key in STYLES:
        return STYLES[key]
    letters = {long.replace(" ", "_").replace("-", "_"): letter for letter, long in LETTERS.items()}
    colour = UNKNOWN_COLOURS[sum(key.encode()) % len(UNKNOWN_COLOURS)]
    return OperatorStyle(label=name, letter=letters.get(key, key[:2]), colour=colour, ink=_DARK, hatch="|")


def drawing_order(name: str) -> tuple[int, str]:
    """Return a sort key: mixers first, FFN and fixed parts last, unknown kinds between."""
    names = list(STYLES)
    if name not in STYLES:
        return (names.index("hybrid_head") + 1, name)
    index = names.index(name)
    return (index if index <= names.index("hybrid_head") else index + 1, name)
