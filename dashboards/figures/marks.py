"""The symbols of candidates by origin, the same in every figure, so that origin never rests on colour."""

from typing import Final

SYMBOLS: Final = {
    "random": "circle",
    "seed": "square",
    "mutation": "diamond",
    "crossover": "diamond",
    "suggested": "diamond",
}

ORIGIN_GROUPS: Final = {"random": ("random",), "seed": ("seed",), "evolved": ("mutation", "crossover", "suggested")}
"""Origins as legends name them."""
