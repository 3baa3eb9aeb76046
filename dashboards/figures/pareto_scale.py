"""Places along an axis as shares of what is drawn, to find out what would lie on what."""

from dashboards.analysis.axes import Axis


def share_within(axis: Axis, value: float, span: tuple[float, float]) -> float:
    """Return where a value stands between two others, below 0 or above 1 where it lies outside."""
    low, high = (axis.position(end) for end in span)
    return (axis.position(value) - low) / ((high - low) or 1.0)


def value_at(axis: Axis, share: float, span: tuple[float, float]) -> float:
    """Return the value that stands at a share of the way between two others."""
    low, high = (axis.position(end) for end in span)
    position = low + share * ((high - low) or 1.0)
    return float(10**position) if axis.is_log else position
