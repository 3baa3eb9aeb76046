"""What a training tells while it runs, and who listens."""

from collections.abc import Mapping
from typing import Any, Protocol


class Tracker(Protocol):
    """Takes the events of one training, in order. Only the first of several processes has any.

    An event is JSON-ready and always has `step` (done, from 1) and `tokens` (seen). With `loss` it is about the steps
    since the last such event: `loss` (mean nats a token), `learning_rate`, `gradient_norm` (mean, before clipping),
    `weight_norm`, `tokens_per_s`, `mfu` (share of the device's peak, null where that is unknown), `seconds` (of
    training, earlier sessions included), `stage` (from 1). With `validation_loss` it is a validation:
    `validation_loss`, `perplexity`, `bits_per_byte`, `seconds`.
    """

    def log(self, event: Mapping[str, Any]) -> None:
        """Take one event."""

    def close(self) -> None:
        """Take no more; called once, however the training ended."""
