"""The numbers of an event by the names that trackers show them under: `training/…`, `validation/…`."""

from collections.abc import Mapping
from typing import Any, Final

NOT_DRAWN: Final = frozenset({"step", "stage"})
VALIDATION: Final = frozenset({"validation_loss", "perplexity", "bits_per_byte"})


def values_of(event: Mapping[str, Any]) -> dict[str, float]:
    """Return what is drawn of an event; what is not known (null) is left out."""
    is_validation = "validation_loss" in event
    result: dict[str, float] = {}
    for name, value in event.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or name in NOT_DRAWN or (is_validation and name not in VALIDATION):
            continue
        group = "validation" if is_validation else "training"
        result[f"{group}/{name.removeprefix('validation_')}"] = float(value)
    return result
