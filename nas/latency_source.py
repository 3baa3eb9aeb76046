"""The latency table a search prices with: given, or measured on this machine before the first candidate."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from latency.plan import MeasurementRequest, missing, requests_for, requests_for_architecture
from latency.rows import LatencyRow
from latency.table import LatencyTable, UnmeasuredError
from latency.workload import Workload
from search_spaces import Architecture, ArchitectureSpace
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from latency.validate import NamedArchitecture
    from nas.config import LatencyConfig

Measuring = Callable[[int, int, str], None]
"""Called with measurements done, measurements in all, and words about the last one."""

CHECKED_TOKENS: Final = 256
"""Steps a table is checked with before a search; all of a long generation would take longer than measuring."""

_SAVE_EVERY_S: Final = 0.2


class UnvalidatedError(NasError, RuntimeError):
    """A latency table was never checked against whole models."""

    exit_code: ClassVar[int] = 4


def needed_rows(
    workload: Workload, space: ArchitectureSpace[Any], *, seeds: Iterable[Architecture] = ()
) -> list[MeasurementRequest]:
    """Return every row that pricing any genome of the space and the seeds needs; seeds may have another vocabulary."""
    operators = sorted(space.distinct_operators(), key=lambda pair: (pair[0], str(pair[1])))
    rows = requests_for(
        operators,
        fixed=[(width, space.vocab_size) for width in sorted({width for width, _ in operators})],
        workload=workload,
        num_meta_tokens=space.num_meta_tokens,
    )
    for architecture in seeds:
        rows += requests_for_architecture(architecture, workload=workload)
    return list({row.key: row for row in rows}.values())


def given_table(latency: "LatencyConfig", rows: Sequence[MeasurementRequest]) -> LatencyTable:
    """Return the table a configuration names. It is never filled up: its rows are of the device it was measured on.

    Whether that device, its versions and our kernels are those asked for is checked in `asked_device.py`.

    Raises:
        TableFileError: no such table, or one that cannot be read.
        UnmeasuredError: it lacks rows the search needs.
        UnvalidatedError: it was never checked against whole models, and the configuration does not accept that.
    """
    path = str(latency.table)
    table = LatencyTable.load(Path(path))
    # Whether its kernels will do is asked apart, with its device and versions.
    table.accepts_outdated = True
    absent = without_time(rows, table)
    if absent:
        raise UnmeasuredError(
            f"The latency table {path} ({table.fingerprint.describe()}) lacks {len(absent)} of the {len(rows)} rows "
            f"the space needs, such as {absent[0].describe()}. "
            f"Measure them on that device with `nas latency profile --table {path}` and the space's name."
        )
    if table.validation(latency.workload) is None and not latency.accept_unvalidated:
        raise UnvalidatedError(
            f"A search needs a latency table that was checked against whole models; {path} was not, for a "
            f"{latency.workload.phase} workload of batch {latency.workload.batch_size} in {latency.workload.dtype}. "
            f"Check it on its device with `nas latency validate --table {path}`, or set "
            "latency.accept_unvalidated: true."
        )
    return table


def without_time(rows: Sequence[MeasurementRequest], table: LatencyTable) -> list[MeasurementRequest]:
    """Return the rows a table has no time for, not even between two of its rows.

    Unlike in `missing`, a row of older kernels of ours holds a time: whether that will do is for others to say.
    """
    return [request for request in rows if not table.lookup.knows(request.key)]


def checked_table(
    table: LatencyTable,
    *,
    path: Path,
    models: "Sequence[NamedArchitecture]",
    workload: Workload,
    device: str,
    num_threads: int,
    checking: Measuring,
) -> None:
    """Check a table against whole models on this machine, and keep what was found with it at `path`."""
    from latency.validate import validate

    shortened = workload.shortened(generated_tokens=CHECKED_TOKENS)
    found = validate(models, workload=shortened, table=table, device=device, num_threads=num_threads, report=checking)
    table.add_validation(found)
    table.save(path)


def measured_table(
    rows: Sequence[MeasurementRequest], *, path: Path, device: str, num_threads: int, measuring: Measuring
) -> LatencyTable:
    """Return the table at `path` with every row; what it lacks is measured on this machine and saved on the way.

    Raises:
        UnavailableError: there is no such device here.
        DeviceMismatchError: the table is of another device or of other versions.
    """
    table = LatencyTable.load(path) if path.exists() else None
    absent = missing(rows, table)
    if not absent and table is not None:
        return table
    from latency.device_probe import current_fingerprint
    from latency.measure import profile

    growing = LatencyTable(fingerprint=current_fingerprint(device, num_threads=num_threads)) if table is None else table
    saved_at = time.monotonic()

    def report(done: int, total: int, row: LatencyRow) -> None:
        nonlocal saved_at
        if time.monotonic() - saved_at > _SAVE_EVERY_S:
            growing.save(path)
            saved_at = time.monotonic()
        measuring(done, total, row.describe())

    try:
        return profile(absent, device=device, num_threads=num_threads, table=growing, report=report)
    finally:
        if len(growing):
            growing.save(path)
