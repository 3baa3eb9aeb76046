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
_MOST_TICKS: Final = 11


def log_axis(values: Sequence[float]) -> dict[str, object]:
    """Return a logarithmic axis with round labels apart from each other: Plotly's own lack their power of ten.

    Values that it cannot show count for nothing.
    """
    shown = [value for value in values if 0 < value < math.inf]
    if not shown:
        return {"type": "log"}
    low, high = min(shown) * 0.9, max(shown) * 1.1
    least = math.log(high / low) / _MOST_TICKS
    ticks: list[float] = []
    for mantissas in _MANTISSAS:
        # The roundest come first; others stand between them where there is room.
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high))):
            for tick in (mantissa * 10.0**power for mantissa in mantissas):
                if low <= tick <= high and all(abs(math.log(tick / other)) >= least for other in ticks):
                    ticks.append(tick)
        if len(ticks) >= _LEAST_TICKS:
            break
    ticks.sort()
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}
