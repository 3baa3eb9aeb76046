"""Tell a training that diverged from one that is merely bad."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

FAR_ABOVE_NATS: Final = 1.0
"""Above the first loss by more than this is worse than knowing nothing by a factor e in perplexity."""

PATIENCE_STEPS: Final = 20
"""Steps in a row far above the start; a single spike recovers sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """When and how a training diverged."""

    step: int
    """The first step that showed it, counted from 1."""

    reason: str


class DivergenceWatch:
    """Sees every step's loss and gradient norm, in order."""

    def __init__(self) -> None:
        self._num_seen = 0
        self._bound = math.inf
        self._num_above = 0

    def to_dict(self) -> dict[str, Any]:
        """Return what it knows, JSON-ready."""
        bound = self._bound if math.isfinite(self._bound) else None
        return {"num_seen": self._num_seen, "bound": bound, "num_above": self._num_above}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "DivergenceWatch":
        """Return a watch that goes on from what another knew."""
        watch = cls()
        watch._num_seen = mapping["num_seen"]
        watch._bound = math.inf if mapping["bound"] is None else mapping["bound"]
        watch._num_above = mapping["num_above"]
        return watch

    def observe(self, losses: Sequence[float], gradient_norms: Sequence[float]) -> Divergence | None:
        """Take the next steps; return a divergence if one of them shows it."""
        for loss, norm in zip(losses, gradient_norms, strict=True):
            self._num_seen += 1
            for name, value in (("loss", loss), ("gradient norm", norm)):
                if not math.isfinite(value):
                    return Divergence(step=self._num_seen, reason=f"the {name} is {value}")
            if self._num_seen == 1:
                self._bound = loss + FAR_ABOVE_NATS
            self._num_above = self._num_above + 1 if loss > self._bound else 0
            if self._num_above == PATIENCE_STEPS:
                first = self._num_seen - PATIENCE_STEPS + 1
                start = self._bound - FAR_ABOVE_NATS
                return Divergence(
                    step=first,
                    reason=f"the loss stayed above its start of {start:.3g} for {PATIENCE_STEPS} steps ({loss:.3g})",
                )
        return None
