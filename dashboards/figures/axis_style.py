"""How an axis of a plane looks: linear or logarithmic, with labels that stay readable when zoomed."""

from collections.abc import Sequence
from typing import Any, Final

from dashboards.analysis.axes import Axis
from dashboards.figures.log_axis import log_axis
from dashboards.text import count, hover_text

WIDE: Final = 12
"""Ratio of the largest to the smallest value from which a logarithmic axis is labelled sparsely."""


def axis_style(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Return the attributes of a Plotly axis over which these values are drawn.

    Args:
        axis: what it is of.
        values: at least one, and above zero on a logarithmic axis.
    """
    style: dict[str, Any] = {"title": {"text": hover_text(axis.title)}, "type": "linear"}
    if not axis.is_log:
        # Plotly would write 1k for a width of 1000, and G where the field says B.
        return style | ({"exponentformat": "B"} if axis.is_count else {})
    if axis.is_count:
        ticks: dict[str, Any] = log_axis(values)
        return style | ticks | {"ticktext": [count(tick) for tick in ticks["tickvals"]]}
    # A format of one's own makes Plotly write whole values instead of digits without their power of ten.
    style |= {"type": "log", "tickformat": ",.4~r"}
    # Over more than a decade its labels at every digit run into each other: then only those at 1, 2 and 5.
    return style | ({"dtick": "D2"} if max(values) > WIDE * min(values) else {})
