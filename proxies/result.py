"""What an evaluation by proxy returns, whatever happened."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from search_spaces.errors import SpecError, near_miss
from search_spaces.strict import from_mapping

ProxyStatus = Literal["finished", "stopped", "diverged", "out_of_memory", "unbuildable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """One point of a loss curve."""

    tokens: int
    """Tokens trained on so far."""

    loss: float
    """Training loss in nats per token, mean over the steps since the point before."""

    validation_loss: float | None
    """Nats per token; none where nothing was validated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyResult:
    """A score, or why there is none. Scores are none unless the status is `finished`."""

    status: ProxyStatus
    message: str = ""
    """Why there is no score; empty when finished or stopped."""

    perplexity: float | None = None
    """Per token of the validation text."""

    bits_per_byte: float | None = None
    validation_loss: float | None = None
    """Nats per token."""

    curve: tuple[CurvePoint, ...] = ()
    tokens_seen: int = 0
    tokens_planned: int | None = None
    """Of the whole training; none where it did not begin."""

    rung_losses: tuple[float, ...] = ()
    """Validation losses at the rungs it reached; the last one broke its limit where the status is `stopped`."""

    seconds: float = 0.0
    """Wall time, building and validating included."""

    peak_memory_bytes: int | None = None
    """See `PeakMemory`; none where the platform cannot tell."""

    def __post_init__(self) -> None:
        if self.status not in get_args(ProxyStatus):
            raise SpecError(
                f"Unknown proxy status {self.status!r}.{near_miss(str(self.status), get_args(ProxyStatus))}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {**asdict(self), "curve": [asdict(point) for point in self.curve]}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "ProxyResult":
        """Read what `to_dict` wrote.

        Raises:
            SpecError: an unknown or missing field, or an unknown status.
        """
        content = dict(mapping)
        points = content.get("curve", ())
        content["curve"] = tuple(from_mapping(CurvePoint, point, where="curve point") for point in points)
        content["rung_losses"] = tuple(content.get("rung_losses", ()))
        return from_mapping(cls, content, where="proxy result")
