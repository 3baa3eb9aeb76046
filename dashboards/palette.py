"""The colours and type of every page and figure, in one place.

Style sheets read them as CSS variables, figures through `theme.py`. Colours of operators are in `operators_style.py`.
"""

import json
from collections.abc import Mapping
from typing import Final

INK: Final = "#1b2530"
"""Text."""

MUTED: Final = "#56616f"
"""Secondary text; 6:1 on white."""

FAINT: Final = "#9aa5b1"
"""Marks that step back. Too light for text."""

MARK: Final = "#7d8995"
"""Marks that are read but are not the point."""

RULE: Final = "#e4e8ed"
"""Borders and grid lines."""

SURFACE: Final = "#ffffff"
PAGE: Final = "#f5f6f8"
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
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif'
)
MONOSPACE: Final = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace'

RAMP: Final = ("#d9a441", "#b0a25c", "#7f9c74", "#4a8c83", "#1f7384", "#1d5577", "#243a62")
"""An ordered scale from light to dark that keeps its order in grey and for the colour-blind."""


DARK: Final[Mapping[str, str]] = {
    INK: "#e7ecf1",
    MUTED: "#a3afbb",
    FAINT: "#6c7886",
    MARK: "#8794a1",
    RULE: "#2c3641",
    SURFACE: "#182028",
    PAGE: "#10161c",
    ACCENT: "#4fc3c0",
    ACCENT_SOFT: "#17363a",
    CAUTION: "#f0b866",
    CAUTION_SOFT: "#33291a",
    CAUTION_RULE: "#54432a",
    FAILURE: "#ff8f8a",
    FAILURE_SOFT: "#3a2022",
    FAILURE_RULE: "#5e3335",
}
"""What each colour is where the page is dark. Figures are made in the light ones and exchanged by `assets/theme.js`."""


def css_variables() -> str:
    """Return the style rules that give pages these values, light and dark."""
    names = {
        "ink": INK,
        "muted": MUTED,
        "faint": FAINT,
        "mark": MARK,
        "rule": RULE,
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
    light = names | {"font": FONT, "monospace": MONOSPACE, "dark-twins": f"'{json.dumps(dict(DARK))}'"}
    dark = {name: DARK[colour] for name, colour in names.items()}
    return f":root{{color-scheme:light;{_rules(light)}}}:root[data-theme=dark]{{color-scheme:dark;{_rules(dark)}}}"


def _rules(values: Mapping[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in values.items())


def ramp(num_colours: int) -> list[str]:
    """Return colours evenly along `RAMP`, first and last included."""
    if num_colours == 1:
        return [RAMP[-2]]
    return [_along(position / (num_colours - 1)) for position in range(num_colours)]


def _along(position: float) -> str:
    scaled = position * (len(RAMP) - 1)
    left = min(int(scaled), len(RAMP) - 2)
    share = scaled - left
    pairs = zip(_channels(RAMP[left]), _channels(RAMP[left + 1]), strict=True)
    return "#" + "".join(f"{round(low + (high - low) * share):02x}" for low, high in pairs)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))
