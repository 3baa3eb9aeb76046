"""How each kind of operator looks: colour, letter and hatching, so that colour never stands alone.

Token mixers are coloured and FFNs grey, for the mix is what a search decides. The hues (blue, gold, brick, violet) stay
apart in the common forms of colour blindness and differ in lightness. Fills and what is written on them are the same on
light and dark pages; only the greys, which should step back on both, have twins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
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

    edge: str = ""
    """Outline of fills that would hardly be seen on the page; empty where the fill is enough."""

    hatch: str = ""
    """Fill pattern in Plotly's notation; empty is plain."""

    dark: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What its colours are where the page is dark; those left out stay."""

    @property
    def variables(self) -> dict[str, str]:
        """CSS variables of the colours that are others on dark pages, by colour."""
        return {colour: f"operator-{colour[1:]}" for colour in self.dark}

    @property
    def css(self) -> str:
        """The style of an element that shows this kind."""
        names = self.variables
        colour, ink, edge = (
            f"var(--{names[value]})" if value in names else value for value in (self.colour, self.ink, self.edge)
        )
        return f"background:{colour};color:{ink}" + (f";box-shadow:inset 0 0 0 1px {edge}" if edge else "")


# One step off the palette's ink and white: these stay as they are on dark pages, as the fills under them do.
_DARK = "#1b2531"
_LIGHT = "#fffffe"

STYLES: Final = {
    "attention": OperatorStyle(label="attention", letter="a", colour="#bb4c34", ink=_LIGHT),
    "sliding_window_attention": OperatorStyle(
        label="sliding-window attention", letter="w", colour="#eba88c", ink=_DARK, edge="#b8755a", hatch="/"
    ),
    "mamba2": OperatorStyle(label="Mamba2", letter="m2", colour="#3972a0", ink=_LIGHT, hatch="."),
    "mamba1": OperatorStyle(label="Mamba", letter="m1", colour="#8fbbdc", ink=_DARK, edge="#5f8bad", hatch="."),
    "deltanet": OperatorStyle(label="DeltaNet", letter="d", colour="#e2b13c", ink=_DARK, edge="#a87c0f", hatch="\\"),
    "gated_deltanet": OperatorStyle(
        label="Gated DeltaNet", letter="gd", colour="#f3dd9b", ink=_DARK, edge="#a4853a", hatch="x"
    ),
    "hybrid_head": OperatorStyle(label="hybrid head", letter="hh", colour="#855f9f", ink=_LIGHT, hatch="+"),
    "fla": OperatorStyle(label="layer of fla", letter="fla", colour="#4a7a6f", ink=_LIGHT, hatch="|"),
    "ffn": OperatorStyle(
        label="FFN",
        letter="f",
        colour="#cfd5dc",
        ink="#3c4754",
        edge="#848f9b",
        dark={"#cfd5dc": "#5b6875", "#3c4754": "#f1f4f7", "#848f9b": "#8a96a2"},
    ),
    "fixed": OperatorStyle(
        label="fixed parts",
        letter="",
        colour="#eceff2",
        ink="#3c4755",
        edge="#868f99",
        hatch="-",
        dark={"#eceff2": "#323d48", "#3c4755": "#ccd4dd", "#868f99": "#7f8a96"},
    ),
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
