"""Logarithmic axes with round labels, for values that span less than a few decades."""

import math
from collections.abc import Sequence
from typing import Final

_MANTISSAS: Final = (
    (1, 2, 5),
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9.5),
    tuple(tenths / 10 for tenths in range(10, 100)),
)
_LEAST_TICKS: Final = 5


def log_axis(values: Sequence[float]) -> dict[str, object]:
    """Return a logarithmic axis with round labels: Plotly's own are digits without their power of ten."""
    if not values:
        return {"type": "log"}
    low, high = min(values) * 0.9, max(values) * 1.1
    for mantissas in _MANTISSAS:
        ticks = [
            mantissa * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
            for mantissa in mantissas
            if low <= mantissa * 10.0**power <= high
        ]
        if len(ticks) >= _LEAST_TICKS:
            break
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
