"""The device a configuration asks for: whether this machine has it, and whether a table is of it.

Nothing is measured here; a cluster's devices are `executors/ray_device.py`.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from latency.device import DeviceFingerprint, DeviceMismatchError, check_usable, describe_differences
from latency.plan import MeasurementRequest
from latency.table import LatencyTable
from search_spaces.errors import UnavailableError

if TYPE_CHECKING:
    from nas.config import LatencyConfig


def is_accelerator(device_name: str, accelerator: str) -> bool:
    """Whether a device's name is of an accelerator as Ray names it: `NVIDIA H100 80GB HBM3` is an `H100`."""
    words = re.split(r"[^A-Z0-9]+", device_name.upper())
    # Ray tells memories apart as in A100-40G; drivers write 40GB.
    return all(part in words or f"{part}B" in words for part in re.split(r"[^A-Z0-9]+", accelerator.upper()))


def local_fingerprint(latency: "LatencyConfig") -> DeviceFingerprint:
    """Return the fingerprint of the device asked for, on this machine.

    Raises:
        UnavailableError: this machine has no such device.
    """
    from latency.device_probe import current_fingerprint

    found = current_fingerprint(latency.device, num_threads=latency.num_threads)
    if latency.accelerator is not None and not is_accelerator(found.device_name, latency.accelerator):
        raise UnavailableError(
            f"latency.accelerator asks for {latency.accelerator}; this machine has {found.device_name}. Search where "
            "there is one, or on a Ray cluster that has it (resources.executor: ray)."
        )
    return found


def local_obstacle(latency: "LatencyConfig") -> str | None:
    """Return why the device asked for cannot be measured on this machine, or none."""
    try:
        local_fingerprint(latency)
    except UnavailableError as error:
        return str(error)
    return None


def check_table_is_asked_for(
    table: LatencyTable,
    latency: "LatencyConfig",
    *,
    rows: Sequence[MeasurementRequest],
    at_hand: DeviceFingerprint | None,
) -> None:
    """Check that a table given by name is of the device asked for, its versions and the revision of our kernels.

    A device that `latency.accelerator` names need not be at hand; then there are no versions to compare.

    Args:
        table: given by name.
        latency: says what is asked for.
        rows: the rows the search needs.
        at_hand: the device that measures for this search; none where there is none.

    Raises:
        DeviceMismatchError: it is of something else, and `latency.accept_other_device` does not insist on it.
    """
    if latency.accept_other_device:
        return
    found = table.fingerprint
    remedy = (
        "Measure one with `nas latency profile` as it is asked for, or set latency.accept_other_device: true to "
        f"search with {latency.table} all the same."
    )
    kind = latency.device.partition(":")[0]
    named = latency.accelerator is not None and is_accelerator(found.device_name, latency.accelerator)
    if found.kind != kind or (latency.accelerator is not None and not named):
        asked = kind if latency.accelerator is None else f"{kind} ({latency.accelerator})"
        raise DeviceMismatchError(
            f"The latency table must be of the device asked for, {asked}; {latency.table} was measured on "
            f"{found.kind} ({found.describe()}). {remedy}"
        )
    outdated = sum(row is not None and row.is_outdated for row in (table.get(request.key) for request in rows))
    if outdated:
        raise DeviceMismatchError(
            f"The latency table must be measured with the kernels there are now; {outdated} of the {len(rows)} rows "
            f"needed from {latency.table} have another kernel revision. {remedy}"
        )
    if at_hand is None:
        if not named:
            raise DeviceMismatchError(
                f"The latency table must be of the device asked for; {latency.table} was measured on "
                f"{found.describe()}, and there is no {kind} device at hand to compare it with. Name the device with "
                f"latency.accelerator. {remedy}"
            )
        return
    try:
        versions = check_usable(found, current=at_hand, asked_for=found.device_name if named else None)
    except DeviceMismatchError:
        differing = found.device_differences(at_hand) | found.version_differences(at_hand)
    else:
        differing = versions
    if differing:
        raise DeviceMismatchError(
            f"The latency table must be of the device and the versions asked for; {latency.table} differs in "
            f"{describe_differences(differing)}. {remedy}"
        )
