"""Device fingerprint: on what, and with what, a latency table was measured.

Describing and comparing only; `device_probe.py` reads the fingerprint of this machine.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from search_spaces.errors import NasError
from search_spaces.strict import from_mapping

MEMORY_TOLERANCE = 0.1
"""Two reports of one device's memory may differ by this share (drivers and containers keep some)."""


class DeviceMismatchError(NasError, RuntimeError):
    """A latency table was measured on another device, or with other software, than the one at hand."""

    exit_code: ClassVar[int] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFingerprint:
    """A device, its software, and its state when it was measured."""

    device_name: str
    kind: Literal["cpu", "cuda"]
    memory_bytes: int

    num_threads: int
    """CPU threads torch computed with; on a GPU they do not matter and are not compared."""

    driver: str = ""
    torch: str = ""
    triton: str = ""

    backends: Mapping[str, str] = field(default_factory=dict)
    """Version by name of the optional kernel libraries found."""

    clocks: Mapping[str, str] = field(default_factory=dict)
    """Clock rates and temperature as found, with their units; a record, never compared."""

    date: str = ""
    """ISO date and time (UTC) of the fingerprint; a record, never compared."""

    def device_differences(self, other: "DeviceFingerprint") -> dict[str, tuple[object, object]]:
        """Return the fields that make `other` another device, each with both values."""
        result = {
            name: (getattr(self, name), getattr(other, name))
            for name in ("device_name", "kind")
            if getattr(self, name) != getattr(other, name)
        }
        if self.kind == other.kind == "cpu" and self.num_threads != other.num_threads:
            result["num_threads"] = (self.num_threads, other.num_threads)
        if abs(self.memory_bytes - other.memory_bytes) > MEMORY_TOLERANCE * max(self.memory_bytes, other.memory_bytes):
            result["memory_bytes"] = (self.memory_bytes, other.memory_bytes)
        return result

    def version_differences(self, other: "DeviceFingerprint") -> dict[str, tuple[object, object]]:
        """Return the versions that differ, each with both values; meaningful on one device only."""
        result: dict[str, tuple[object, object]] = {
            name: (getattr(self, name), getattr(other, name))
            for name in ("driver", "torch", "triton")
            if getattr(self, name) != getattr(other, name)
        }
        for name in sorted({*self.backends, *other.backends}):
            pair = (self.backends.get(name, "none"), other.backends.get(name, "none"))
            if pair[0] != pair[1]:
                result[name] = pair
        return result

    def matches(self, other: "DeviceFingerprint") -> bool:
        """Whether both are one device with the same software; the two difference methods tell what differs."""
        return not self.device_differences(other) and not self.version_differences(other)

    def describe(self) -> str:
        """Return short words, such as `AMD EPYC 9654, 4 threads`."""
        if self.kind != "cpu":
            return self.device_name
        return f"{self.device_name}, {self.num_threads} thread{'' if self.num_threads == 1 else 's'}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that `from_dict` reads back unchanged."""
        return {**asdict(self), "backends": dict(self.backends), "clocks": dict(self.clocks)}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> "DeviceFingerprint":
        """Read what `to_dict` wrote."""
        return from_mapping(cls, mapping, where="device fingerprint")


def check_usable(
    table_device: DeviceFingerprint, *, current: DeviceFingerprint, asked_for: str | None = None
) -> dict[str, tuple[object, object]]:
    """Return the versions that differ between a table and the device at hand; empty when none does.

    A table of another device is accepted only when it is `asked_for` by its device name; versions are compared only
    when the table is of the device at hand.

    Raises:
        DeviceMismatchError: the table is of another device than the one at hand, or than the one asked for.
    """
    if asked_for is not None and asked_for != table_device.device_name:
        raise DeviceMismatchError(
            f"The latency table must be of the device asked for, {asked_for!r}; it was measured on "
            f"{table_device.device_name!r}. Ask for that name, or profile {asked_for!r} first."
        )
    differing = table_device.device_differences(current)
    if differing and asked_for is None:
        raise DeviceMismatchError(
            "A latency table serves the device it was measured on unless another is asked for by name; this one "
            f"differs in {describe_differences(differing)}. Ask for {table_device.device_name!r} by name to search for "
            "that device, or measure this one with `nas latency profile`."
        )
    return {} if differing else table_device.version_differences(current)


def describe_differences(differing: Mapping[str, tuple[object, object]]) -> str:
    """Return words such as `torch (table 2.8.0, here 2.13.0)`."""
    return ", ".join(f"{name} (table {ours}, here {theirs})" for name, (ours, theirs) in differing.items())
