"""The latency of a run: its table, measured, checked or given, and in the end its frontier timed whole.

Decides where each happens, on this machine or on a device of the cluster; how is `latency_source.py`,
`verification.py` and `remote_measuring.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from latency.device import DeviceMismatchError
from latency.plan import MeasurementRequest, missing
from latency.table import LatencyTable
from nas.asked_device import check_table_is_asked_for, local_fingerprint
from nas.candidates import Record
from nas.config import SearchConfig
from nas.errors import ResourceError
from nas.latency_source import CHECKED_TOKENS, checked_table, measured_table, without_time
from nas.remote_measuring import RemoteMeasuring
from nas.run_directory import RunDirectory
from nas.verification import device_obstacle, verify

if TYPE_CHECKING:
    from latency.validate import NamedArchitecture


class LatencyObserver(Protocol):
    """Is told how measuring goes."""

    def notice(self, words: str) -> None:
        """Something to know."""

    def measuring(self, done: int, total: int, words: str) -> None:
        """A latency row was measured."""

    def checking(self, done: int, total: int, words: str) -> None:
        """A model was timed whole."""


def run_table(
    directory: RunDirectory,
    config: SearchConfig,
    *,
    rows: Sequence[MeasurementRequest],
    given: LatencyTable | None,
    models: "Callable[[], Sequence[NamedArchitecture]]",
    remote: RemoteMeasuring | None,
    observer: LatencyObserver,
) -> LatencyTable:
    """Return the run's own copy of the latency table, made on first use.

    Args:
        directory: of the run.
        config: of the search.
        rows: what pricing its space needs.
        given: the table it names, if it names one and has no copy of it yet.
        models: draws the models a table measured here is checked with.
        remote: measures elsewhere; none where this machine measures.
        observer: is told of what is measured.

    Raises:
        NasError: the device cannot be had, or a table is not of the one asked for.
    """
    latency, path = config.latency, directory.latency
    if given is not None and not path.exists():
        if remote is not None and not latency.accept_other_device:
            at_hand = remote.fingerprint() if remote.obstacle() is None else None
            check_table_is_asked_for(given, latency, rows=rows, at_hand=at_hand)
        given.save(path)
    own = LatencyTable.load(path) if path.exists() else None
    if own is not None:
        own.accepts_outdated = latency.accept_other_device
    if own is not None and latency.table is not None and not without_time(rows, own):
        return own
    if remote is not None:
        table = remote.measured_table(rows, path=path, measuring=observer.measuring)
    else:
        if missing(rows, own):
            local_fingerprint(latency)  # raises where it is not the device asked for
        table = measured_table(
            rows,
            path=path,
            device=latency.device,
            num_threads=latency.num_threads,
            measuring=observer.measuring,
        )
    if latency.table is None and latency.validation_models and table.validation(latency.workload) is None:
        if remote is not None:
            shortened = latency.workload.shortened(generated_tokens=CHECKED_TOKENS)
            remote.checked_table(table, path=path, models=models(), workload=shortened, checking=observer.checking)
        else:
            checked_table(
                table,
                path=path,
                models=models(),
                workload=latency.workload,
                device=latency.device,
                num_threads=latency.num_threads,
                checking=observer.checking,
            )
    return table


def verify_frontier(
    frontier: list[Record[Any]],
    directory: RunDirectory,
    *,
    config: SearchConfig,
    table: LatencyTable,
    remote: RemoteMeasuring | None,
    observer: LatencyObserver,
) -> None:
    """Time the frontier whole, where its device is at hand."""
    obstacle = device_obstacle(table, config) if remote is None else remote.obstacle()
    if obstacle is None and remote is None:
        verify(frontier, directory=directory, config=config, report=observer.checking)
    elif obstacle is None and remote is not None:
        timed = partial(remote.whole_times_ms, workload=config.latency.workload, table=table)
        try:
            verify(frontier, directory=directory, config=config, report=observer.checking, timed=timed)
        except (DeviceMismatchError, ResourceError) as error:
            # The search itself is done; what could not be timed is said, and can be timed later.
            obstacle = str(error).removesuffix(".")
    if obstacle is not None:
        observer.notice(f"The frontier was not timed whole: {obstacle}. On that device: nas latency verify DIR")
