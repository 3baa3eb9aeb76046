"""How many tokens a second a device gives at the largest batch that its memory holds.

It joins a table's times with the arithmetic of memory; between measured batches it interpolates, beyond them it does
not.
"""

from dataclasses import dataclass, replace
from typing import Any

from latency.lookup import UnmeasuredError
from latency.memory import GIB, largest_batch_of
from latency.predict import Prediction, predict, profile_command
from latency.table import LatencyTable
from latency.workload import Workload
from search_spaces.architecture import Architecture
from search_spaces.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPrediction:
    """What a workload is predicted to take at one batch."""

    batch_size: int
    prediction: Prediction

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {"batch_size": self.batch_size, **self.prediction.to_dict()}


def at_largest_batch(
    architecture: Architecture, workload: Workload, table: LatencyTable, *, memory_bytes: int | None = None
) -> BatchPrediction:
    """Return the prediction at the largest batch of a workload that fits, whatever batch it says.

    Args:
        architecture: The model.
        workload: What is run; its batch is replaced.
        table: Times of the device.
        memory_bytes: Memory there is; none means all that the table's device has.

    Raises:
        SpecError: not even one sequence fits, it is not known how much memory there is, or what an operator holds.
        UnmeasuredError: that batch lies outside the batches measured, or rows are missing; the message says which
            batch to measure, and how.
    """
    device = table.fingerprint
    memory_bytes = device.memory_bytes if memory_bytes is None else memory_bytes
    if memory_bytes < 1:
        raise SpecError(
            f"The largest batch needs memory_bytes of at least 1; got {memory_bytes}, and the table of "
            f"{device.device_name} says {device.memory_bytes}. Say how much memory there is."
        )
    most = largest_batch_of(architecture, workload, memory_bytes=memory_bytes, device=device.kind)
    largest = replace(workload, batch_size=most)
    measured = measured_batches(table, workload)
    if not measured or not measured[0] <= most <= measured[-1]:
        raise UnmeasuredError(
            f"Times are interpolated between measured batches, never beyond them; the largest batch that fits into "
            f"{memory_bytes / GIB:.1f} GiB is {most}, and the table of {device.device_name} holds batches "
            f"{', '.join(map(str, measured)) or 'none'} in {workload.dtype}. Measure batch {most} with: "
            f"{profile_command(architecture, largest, table)}"
        )
    return BatchPrediction(batch_size=most, prediction=predict(architecture, largest, table))


def measured_batches(table: LatencyTable, workload: Workload) -> tuple[int, ...]:
    """Return the batches, ascending, that a table holds times of in a workload's phases and number format."""
    phases = {"prefill": workload.has_prefill, "decode": workload.has_decode}
    keys = (row.key for row in table.measured)
    return tuple(sorted({key.batch_size for key in keys if key.dtype == workload.dtype and phases[key.phase]}))
