"""Early looks at a training: steps at which it is validated, and ends if it does worse than it may there.

Who sets the limits, and by what rule, is no concern of a training. The learning rate stays that of the whole run, so
that losses compare between trainings at the same rung.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from proxies.errors import SettingsError
from search_spaces.errors import SpecError
from search_spaces.strict import from_mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Rungs:
    """Where a training is looked at, and what ends it there."""

    shares: tuple[float, ...]
    """Of the steps, ascending, each above 0 and below 1."""

    limits: tuple[float | None, ...]
    """Highest validation loss, in nats per token, with which the training goes on; none: it goes on with any."""

    is_enforced: bool = True
    """Otherwise the training goes to its end: what comes of it tells what stopping it would have lost."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", tuple(self.shares))
        object.__setattr__(self, "limits", tuple(self.limits))
        ordered = all(first < second for first, second in zip(self.shares, self.shares[1:], strict=False))
        if not self.shares or not ordered or not (self.shares[0] > 0 and self.shares[-1] < 1):
            raise SettingsError(f"Rungs are ascending shares of the steps above 0 and below 1; got {self.shares!r}.")
        if len(self.limits) != len(self.shares) or any(
            limit is not None and math.isnan(limit) for limit in self.limits
        ):
            raise SettingsError(
                f"Rungs need a limit or none for each share; got {self.limits!r} for {len(self.shares)} rungs."
            )

    def first_unmet(self, losses: tuple[float, ...]) -> int | None:
        """Return the first rung whose limit a training with these losses broke, or none."""
        pairs = zip(losses, self.limits, strict=False)
        return next((rung for rung, (loss, limit) in enumerate(pairs) if limit is not None and loss > limit), None)

    def steps(self, total: int) -> tuple[int, ...]:
        """Return after how many of `total` steps each rung lies; in very short runs several share one."""
        return tuple(min(total, max(1, round(share * total))) for share in self.shares)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {"shares": list(self.shares), "limits": list(self.limits), "is_enforced": self.is_enforced}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "Rungs":
        """Read what `to_dict` wrote.

        Raises:
            SettingsError: an unknown or missing field, or rungs out of order.
        """
        try:
            return from_mapping(cls, mapping, where="rungs")
        except SpecError as error:
            raise SettingsError(str(error)) from error
