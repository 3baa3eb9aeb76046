"""Measure what a table lacks, on the device at hand.

The clock depends on the device: `cpu_mix.py` or `cuda_graphs.py`. Which rows are needed is decided in `plan.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch

from latency.bandwidth import ensure_bandwidth
from latency.cpu_mix import TYPICAL_DEPTH, measure_mix, mixes
from latency.cuda_graphs import measure_in_graphs
from latency.device import DeviceMismatchError, describe_differences
from latency.device_probe import current_fingerprint
from latency.plan import MeasurementRequest, missing
from latency.rows import LatencyRow, RowKey
from latency.samples import Samples
from latency.table import LatencyTable

Report = Callable[[int, int, LatencyRow], None]
"""Called with the measurements done, those there will be, and the row just finished."""

SECONDS_PER_SET = 0.25
NUM_SWEEPS = 2
"""Everything is measured so many times over, minutes apart where there is much of it: a machine's speed drifts."""


def profile(
    requests: Iterable[MeasurementRequest],
    *,
    device: str,
    num_threads: int,
    table: LatencyTable | None = None,
    report: Report | None = None,
    seconds_per_set: float = SECONDS_PER_SET,
    num_sweeps: int = NUM_SWEEPS,
    typical_depth: int = TYPICAL_DEPTH,
) -> LatencyTable:
    """Measure every request that the table lacks, and how fast the device reads memory; return the table.

    Everything is measured in `num_sweeps` sweeps. A row is added to the table as soon as it is finished, then reported;
    later sweeps replace it by one with more samples. So what was measured before an interruption is kept by a caller
    who passes the table. An operator that fails, for lack of memory for example, becomes a row that says why, and the
    rest goes on.

    Args:
        requests: what to measure, from `plan.requests_for`.
        device: `cpu`, `cuda` or `cuda:N`.
        num_threads: CPU threads to compute with; part of the fingerprint.
        table: rows measured before, on this device; they are not measured again, and the new ones are added to it.
        report: called after every row of every sweep.
        seconds_per_set: time to spend, in each sweep, on each set of rows that is timed together.
        num_sweeps: times to measure everything.
        typical_depth: operators in the models that will be priced; whether their weights stay in a CPU's cache depends
            on it.

    Raises:
        DeviceMismatchError: the table was measured on another device or with other versions.
        UnavailableError: there is no such device.
    """
    fingerprint = current_fingerprint(device, num_threads=num_threads)
    if table is None:
        table = LatencyTable(fingerprint=fingerprint)
    differing = table.fingerprint.device_differences(fingerprint) | table.fingerprint.version_differences(fingerprint)
    if differing:
        raise DeviceMismatchError(
            "New rows can be added only to a table of the same device and versions; this one differs in "
            f"{describe_differences(differing)}. Measure into a new table."
        )
    todo = missing(requests, table)
    found: dict[RowKey, Samples] = {}
    done = 0
    with threads(num_threads), torch.inference_mode():
        ensure_bandwidth(table, device=device, num_threads=num_threads)
        for _ in range(num_sweeps):
            sweep = _measure(todo, device=device, seconds_per_set=seconds_per_set, typical_depth=typical_depth)
            for together in sweep:
                rows = []
                for samples in together:
                    key = samples.key
                    found[key] = found[key].joined(samples) if key in found else samples
                    rows.append(found[key].row())
                    # All before the first is reported: whoever saves the table then saves them all.
                    table.add(rows[-1])
                for row in rows:
                    done += 1
                    if report is not None:
                        report(done, num_sweeps * len(todo), row)
    return table


def _measure(
    requests: list[MeasurementRequest], *, device: str, seconds_per_set: float, typical_depth: int
) -> Iterator[list[Samples]]:
    """Yield what was measured, as soon as it is: on a GPU row by row, on a CPU all of a mix."""
    if torch.device(device).type == "cuda":
        for samples in measure_in_graphs(requests, device=device, seconds_per_row=seconds_per_set):
            yield [samples]
        return
    for mix in mixes(requests):
        yield list(measure_mix(mix, seconds_per_set=seconds_per_set, typical_depth=typical_depth))


@contextmanager
def threads(num_threads: int) -> Iterator[None]:
    """Let torch compute with so many CPU threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
