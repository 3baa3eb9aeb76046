"""Measure on a device of the Ray cluster where the driver's own machine has none.

What happens there is what happens here otherwise: `latency.measure.profile`, `latency.validate.validate` and
`time_whole_ms`. Only the driver writes: rows come to it as they are finished and are saved at once, so that neither its
own end nor a node's loses one.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from latency.device import DeviceFingerprint, DeviceMismatchError, describe_differences
from latency.plan import MeasurementRequest, missing
from latency.rows import LatencyRow, RowKey
from latency.samples import Samples
from latency.table import LatencyTable
from latency.workload import Workload
from nas.asked_device import local_obstacle
from nas.config import SearchConfig
from nas.errors import ResourceError
from nas.executors.ray_device import DeviceDemand, LostTaskError, RayDevice
from search_spaces import Architecture

if TYPE_CHECKING:
    from latency.validate import NamedArchitecture
    from latency.validation import Validation

T = TypeVar("T")

Report = Callable[[int, int, str], None]
"""Called with what is done, what there will be, and words about the last."""

Hand = Callable[[T], None]
"""Hands one thing over; returns when it has been taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRow:
    """A row on its way to the driver."""

    done: int
    total: int
    row: LatencyRow
    metadata: Mapping[str, Any]
    """Of the table it was measured into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Words about a model that was timed."""

    done: int
    total: int
    words: str


class RemoteMeasuring:
    """Measures as a search does, on one kind of device of the connected Ray cluster."""

    def __init__(self, cluster: RayDevice, *, device: str, num_threads: int, max_retries: int) -> None:
        """Take a device of a cluster.

        Args:
            cluster: runs the tasks, each on a whole device.
            device: what a task calls the device it holds: `cpu` or `cuda`.
            num_threads: CPU threads to compute with; part of the fingerprint.
            max_retries: how often a lost task that handed over nothing runs again before its work is given up.
        """
        self._cluster = cluster
        self._device = device
        self._num_threads = num_threads
        self._max_retries = max_retries

    def obstacle(self) -> str | None:
        """Return why no node of the cluster can measure, or none."""
        return self._cluster.obstacle()

    def fingerprint(self) -> DeviceFingerprint:
        """Return the fingerprint of a device that would measure.

        Raises:
            NasError: no node offers one.
        """
        [found] = self._over_losses("describe-device", lambda _: (_fingerprint, self._device, self._num_threads))
        assert isinstance(found, DeviceFingerprint)
        return found

    def measured_table(self, rows: Sequence[MeasurementRequest], *, path: Path, measuring: Report) -> LatencyTable:
        """Return the table at `path` with every row; what it lacks is measured on the cluster and saved as it comes.

        A lost task's work goes to another, rows that arrived left out. Where tasks end with their process again and
        again, the rest is cut in half until one row is left, which is recorded as failed.

        Raises:
            ResourceError: no node offers the device, or its nodes are lost again and again.
            DeviceMismatchError: the table is of another device, or of other versions, than all that are offered.
        """
        from latency.measure import NUM_SWEEPS

        table = LatencyTable.load(path) if path.exists() else None
        todo = missing(rows, table)
        size, losses, before = len(todo), 0, 0
        while todo:
            batch = todo[:size]
            seen: set[RowKey] = set()
            reports = 0
            lost: LostTaskError | None = None
            try:
                for items in self._cluster.stream("measure-latency", _rows, *self._asking(batch, table)):
                    if isinstance(items[0], DeviceFingerprint):
                        table = LatencyTable(fingerprint=items[0]) if _is_empty(table) else table
                    finished = [item for item in items if isinstance(item, FinishedRow)]
                    assert table is not None
                    for item in finished:
                        table.add(item.row)
                        table.metadata |= item.metadata
                        seen.add(item.row.key)
                    if finished:
                        table.save(path)
                    for item in finished:
                        reports = item.done
                        left = NUM_SWEEPS * (len(todo) - len(batch))
                        measuring(before + item.done, before + item.total + left, item.row.describe())
            except LostTaskError as error:
                lost = error
            if seen:
                todo = [request for request in todo if request.key not in seen]
                size, losses, before = len(todo), 0, before + reports
                continue
            assert lost is not None
            losses += 1
            if lost.only_process and len(batch) > 1:
                size, losses = len(batch) // 2, 0
            elif losses > self._max_retries:
                if table is None or not lost.only_process:
                    raise ResourceError(
                        f"Measuring {batch[0].describe()} was lost {losses} times, the last time by: {lost}. "
                        "What was measured is kept; continue with nas resume."
                    ) from lost
                table.add(Samples(key=batch[0].key, failure=str(lost)[:200]).row())
                table.save(path)
                todo = todo[1:]
                size, losses = len(todo), 0
        assert table is not None
        return table

    def checked_table(
        self,
        table: LatencyTable,
        *,
        path: Path,
        models: "Sequence[NamedArchitecture]",
        workload: Workload,
        checking: Report,
    ) -> None:
        """Check a table against whole models on the cluster, and keep what was found with it at `path`.

        Raises:
            ResourceError: no node offers the device, or its nodes are lost again and again.
            DeviceMismatchError: the table is of another device, or of other versions, than all that are offered.
        """
        ask = (_validation, tuple(models), workload, table, self._device, self._num_threads)
        found: Validation | None = None
        for item in self._over_losses("validate-latency", lambda _: ask):
            if isinstance(item, Turn):
                checking(item.done, item.total, item.words)
            else:
                found = item
        assert found is not None
        table.add_validation(found)
        table.save(path)

    def whole_times_ms(
        self, architectures: Sequence[Architecture], *, workload: Workload, table: LatencyTable
    ) -> Iterator[list[float]]:
        """Yield the milliseconds of a few whole runs of each architecture, on the table's device.

        Raises:
            ResourceError: no node offers the device, or its nodes are lost again and again.
            DeviceMismatchError: the table is of another device than all that are offered.
        """
        if not architectures:
            return
        yield from self._over_losses(
            "time-whole-models",
            lambda done: (
                _whole_times,
                tuple(architectures[done:]),
                workload,
                table.fingerprint,
                self._device,
                self._num_threads,
            ),
        )

    def _asking(self, batch: Sequence[MeasurementRequest], table: LatencyTable | None) -> tuple[Any, ...]:
        known = (None, {}) if table is None or _is_empty(table) else (table.fingerprint, table.metadata)
        return (tuple(batch), self._device, self._num_threads, *known)

    def _over_losses(self, name: str, ask: Callable[[int], tuple[Any, ...]]) -> Iterator[Any]:
        """Yield what tasks hand over; a lost one is followed by another that is asked with the number that came."""
        came = losses = 0
        while True:
            came_before = came
            try:
                for items in self._cluster.stream(name, *ask(came)):
                    for item in items:
                        came += 1
                        yield item
            except LostTaskError as error:
                # A check that begins anew hands over again what it had: only so many times, progress or not.
                losses = losses + 1 if came == came_before or name == "validate-latency" else 1
                if losses > self._max_retries:
                    raise ResourceError(
                        f"A measurement on the Ray cluster was lost {losses} times, the last time by: {error}. "
                        "What was measured is kept; continue with nas resume."
                    ) from error
            else:
                return


MeasuringOf = Callable[[SearchConfig, Callable[[str], None]], AbstractContextManager[RemoteMeasuring | None]]
"""Opens what measures for a configuration; is given whom to tell what should be known."""


@contextmanager
def remote_measuring(config: SearchConfig, notice: Callable[[str], None]) -> Iterator[RemoteMeasuring | None]:
    """Connect to the cluster that measures for a search; none where this machine measures itself.

    Raises:
        ResourceError: the address does not answer.
    """
    latency, resources = config.latency, config.resources
    is_gpu = latency.device.startswith("cuda")
    if resources.executor != "ray" or not is_gpu or local_obstacle(latency) is None:
        yield None
        return
    from nas.executors.ray_connection import connected

    demand = DeviceDemand(num_cpus=latency.num_threads, num_gpus=1, accelerator=latency.accelerator)
    with connected(resources.address):
        yield RemoteMeasuring(
            RayDevice(demand, notice=notice),
            # A task that holds one whole GPU sees no other, whatever its number on the node.
            device=latency.device.partition(":")[0],
            num_threads=latency.num_threads,
            max_retries=resources.max_retries,
        )


def _is_empty(table: LatencyTable | None) -> bool:
    """Whether a table binds to no device yet."""
    return table is None or not len(table)


def _fingerprint(device: str, num_threads: int) -> Iterator[DeviceFingerprint]:
    from latency.device_probe import current_fingerprint

    yield current_fingerprint(device, num_threads=num_threads)


def _rows(
    requests: Sequence[MeasurementRequest],
    device: str,
    num_threads: int,
    fingerprint: DeviceFingerprint | None,
    metadata: Mapping[str, Any],
) -> Iterator[DeviceFingerprint | FinishedRow]:
    from latency.device_probe import current_fingerprint
    from latency.measure import profile

    fingerprint = fingerprint or current_fingerprint(device, num_threads=num_threads)
    yield fingerprint
    table = LatencyTable(fingerprint=fingerprint, metadata=metadata)

    def measure(hand: Hand[FinishedRow]) -> None:
        def report(done: int, total: int, row: LatencyRow) -> None:
            hand(FinishedRow(done=done, total=total, row=row, metadata=dict(table.metadata)))

        profile(requests, device=device, num_threads=num_threads, table=table, report=report)

    yield from _handed_over(measure)


def _validation(
    models: "Sequence[NamedArchitecture]", workload: Workload, table: LatencyTable, device: str, num_threads: int
) -> "Iterator[Turn | Validation]":
    from latency.validate import validate

    def check(hand: "Hand[Turn | Validation]") -> None:
        def report(done: int, total: int, words: str) -> None:
            hand(Turn(done=done, total=total, words=words))

        hand(validate(models, workload=workload, table=table, device=device, num_threads=num_threads, report=report))

    yield from _handed_over(check)


def _whole_times(
    architectures: Sequence[Architecture],
    workload: Workload,
    expected: DeviceFingerprint,
    device: str,
    num_threads: int,
) -> Iterator[list[float]]:
    from latency.device_probe import current_fingerprint
    from latency.measure import threads
    from latency.validate import time_whole_ms

    differing = expected.device_differences(current_fingerprint(device, num_threads=num_threads))
    if differing:
        raise DeviceMismatchError(
            "Models are timed whole on the device of their table; what the cluster offers differs in "
            f"{describe_differences(differing)}. Time them there with `nas latency verify`."
        )
    with threads(num_threads):
        for architecture in architectures:
            yield time_whole_ms(architecture, workload=workload, device=device)


def _handed_over(work: Callable[[Hand[T]], None]) -> Iterator[T]:
    """Yield what a function hands over from a thread of its own, which waits meanwhile: nothing runs beside a clock."""
    items: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
    taken = threading.Semaphore(0)

    def hand(item: T) -> None:
        items.put((item,))
        taken.acquire()

    def run() -> None:
        try:
            work(hand)
        except BaseException as error:  # raised again where it is yielded from
            items.put(error)
        else:
            items.put(None)

    threading.Thread(target=run, daemon=True).start()
    while (item := items.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item[0]
        taken.release()
