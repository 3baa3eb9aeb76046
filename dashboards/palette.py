"""The colours and type of every page and figure, in one place.

Style sheets read them as CSS variables, figures through `theme.py`. Pages and figures are made in the light colours;
each has a twin for dark pages. What is read as text has a contrast of 4.5:1 with its ground, what is read as a mark
3:1, in both. Which operator has which colour is in `operators_style.py`.
"""

import json
from collections.abc import Mapping
from typing import Final

from dashboards.operators_style import STYLES

INK: Final = "#1b2530"
"""Text."""

MUTED: Final = "#56616f"
"""Secondary text; 6:1 on white."""

FAINT: Final = "#828d98"
"""Marks that step back. Too light for text."""

MARK: Final = "#6e7a86"
"""Marks that are read but are not the point."""

RULE: Final = "#e4e3de"
"""Borders and grid lines: nothing is lost where they are not seen."""

CONTROL: Final = "#85888c"
"""Borders of what can be pressed or filled in."""

HOVER: Final = "#f6f5f1"
"""The ground of a table's row under the pointer."""

SURFACE: Final = "#ffffff"
PAGE: Final = "#f8f7f4"
ACCENT: Final = "#0b6b6f"
"""The frontier and whatever is best."""

ACCENT_SOFT: Final = "#e3f0f0"
CAUTION: Final = "#8a4b08"
CAUTION_SOFT: Final = "#fdf3e3"
CAUTION_RULE: Final = "#f1dcb8"
FAILURE: Final = "#a4262c"
FAILURE_SOFT: Final = "#fbeaea"
FAILURE_RULE: Final = "#efc9c9"

FONT: Final = (
    '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, system-ui, sans-serif'
)
TITLE_FONT: Final = '"Iowan Old Style", Charter, "Bitstream Charter", Cambria, Georgia, "Liberation Serif", serif'
"""Headings and large figures of pages."""

MONOSPACE: Final = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace'

RAMP: Final = ("#c58618", "#9b8733", "#63854f", "#297b72", "#126a7b", "#1c5476", "#253b64")
"""An ordered scale from light to dark that keeps its order in grey and for the colour-blind."""

_RAMP_DARK: Final = ("#fcc565", "#cebf79", "#9ab88e", "#69aba2", "#449db0", "#4b88b1", "#5475af")
_STEPS: Final = 120
"""Places on the ramp that have a colour; a multiple of small numbers, so that few colours stand evenly apart."""


def ramp(num_colours: int) -> list[str]:
    """Return colours evenly along `RAMP`, first and last included."""
    if num_colours == 1:
        return [RAMP[-2]]
    return [_along(RAMP, round(_STEPS * place / (num_colours - 1))) for place in range(num_colours)]


def _along(colours: tuple[str, ...], step: int) -> str:
    scaled = step / _STEPS * (len(colours) - 1)
    left = min(int(scaled), len(colours) - 2)
    share = scaled - left
    pairs = zip(_channels(colours[left]), _channels(colours[left + 1]), strict=True)
    return "#" + "".join(f"{round(low + (high - low) * share):02x}" for low, high in pairs)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


DARK: Final[Mapping[str, str]] = {
    **{_along(RAMP, step): _along(_RAMP_DARK, step) for step in range(_STEPS + 1)},
    **{light: dark for style in STYLES.values() for light, dark in style.dark.items()},
    INK: "#e7ecf1",
    MUTED: "#a3afbb",
    FAINT: "#6f7b88",
    MARK: "#8f9ba7",
    RULE: "#2b343d",
    CONTROL: "#74808c",
    HOVER: "#1f2830",
    SURFACE: "#181f26",
    PAGE: "#11161b",
    ACCENT: "#4fc3c0",
    ACCENT_SOFT: "#17363a",
    CAUTION: "#f0b866",
    CAUTION_SOFT: "#33291a",
    CAUTION_RULE: "#54432a",
    FAILURE: "#ff8f8a",
    FAILURE_SOFT: "#3a2022",
    FAILURE_RULE: "#5e3335",
}
"""What each colour is where the page is dark. `assets/theme.js` exchanges those of figures."""


def css_variables() -> str:
    """Return the style rules that give pages these values, light and dark."""
    names = {
        "ink": INK,
        "muted": MUTED,
        "faint": FAINT,
        "mark": MARK,
        "rule": RULE,
        "control": CONTROL,
        "hover": HOVER,
        "surface": SURFACE,
        "page": PAGE,
        "accent": ACCENT,
        "accent-soft": ACCENT_SOFT,
        "caution": CAUTION,
        "caution-soft": CAUTION_SOFT,
        "caution-rule": CAUTION_RULE,
        "failure": FAILURE,
        "failure-soft": FAILURE_SOFT,
        "failure-rule": FAILURE_RULE,
    }
    names |= {name: colour for style in STYLES.values() for colour, name in style.variables.items()}
    fonts = {"font": FONT, "title-font": TITLE_FONT, "monospace": MONOSPACE}
    light = names | fonts | {"dark-twins": f"'{json.dumps(dict(DARK), separators=(',', ':'))}'"}
    dark = {name: DARK[colour] for name, colour in names.items()}
    return f":root{{color-scheme:light;{_rules(light)}}}:root[data-theme=dark]{{color-scheme:dark;{_rules(dark)}}}"


def _rules(values: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())
