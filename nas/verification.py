"""The frontier timed whole: what its models really take on the device, beside what the table predicted.

Kept in the run directory by fingerprint, so that a model is timed once however often the frontier is looked at.
"""

import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from latency.device_probe import current_fingerprint
from latency.table import LatencyTable
from nas.candidates import Record
from nas.config import SearchConfig
from nas.errors import RunDirectoryError
from nas.run_directory import RunDirectory, write_atomically
from search_spaces import Architecture
from search_spaces.errors import UnavailableError

Timed = Callable[[Sequence[Architecture]], Iterable[list[float]]]
"""Yields the milliseconds of a few whole runs of each architecture."""

Report = Callable[[int, int, str], None]
"""Called with models timed, models there are, and words about the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """One model, timed whole."""

    trial: int
    predicted_ms: float
    measured_ms: float
    date: str

    @property
    def error(self) -> float:
        """(predicted − measured) / measured."""
        return self.predicted_ms / self.measured_ms - 1


def device_obstacle(table: LatencyTable, config: SearchConfig) -> str | None:
    """Return why models cannot be timed here on the table's device, or none."""
    try:
        here = current_fingerprint(config.latency.device, num_threads=config.latency.num_threads)
    except UnavailableError as error:
        return str(error)
    differing = table.fingerprint.device_differences(here)
    if differing:
        return f"the latency table is of {table.fingerprint.describe()}, this machine is {here.describe()}"
    return None


def verify(
    frontier: list[Record[Any]],
    *,
    directory: RunDirectory,
    config: SearchConfig,
    report: Report,
    timed: Timed | None = None,
) -> dict[str, Verified]:
    """Time every model of the frontier that was not timed before; return all by fingerprint.

    The caller has made sure that the device is at hand; `timed` is where it is not this machine's.
    """
    verified = read_verified(directory)
    todo = {
        fingerprint: Architecture.from_dict(record.candidate.description["target"])
        for record in frontier
        if (fingerprint := record.candidate.fingerprint) not in verified
    }
    times = iter((timed or _timed_here(config))(list(todo.values())))
    for index, record in enumerate(frontier):
        if record.candidate.fingerprint not in verified:
            verified[record.candidate.fingerprint] = Verified(
                trial=record.number,
                predicted_ms=record.objectives["latency_ms"],
                measured_ms=median(next(times)),
                date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            )
            _write(directory, verified)
        report(index + 1, len(frontier), f"trial {record.number}")
    return verified


def _timed_here(config: SearchConfig) -> Timed:
    from latency.measure import threads
    from latency.validate import time_whole_ms

    def timed(architectures: Sequence[Architecture]) -> Iterator[list[float]]:
        for architecture in architectures:
            with threads(config.latency.num_threads):
                yield time_whole_ms(architecture, workload=config.latency.workload, device=config.latency.device)

    return timed


def read_verified(directory: RunDirectory) -> dict[str, Verified]:
    """Return what was timed so far, by fingerprint.

    Raises:
        RunDirectoryError: what was written of it is garbled.
    """
    path = directory.verification
    if not path.is_file():
        return {}
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        verified = {fingerprint: Verified(**entry) for fingerprint, entry in content.items()}
        if not all(isinstance(entry.measured_ms, int | float) for entry in verified.values()):
            raise TypeError("a measured time that is no number")
    except (ValueError, TypeError, AttributeError) as error:
        raise RunDirectoryError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Delete it; `nas latency verify` times the "
            "frontier again."
        ) from error
    return verified


def _write(directory: RunDirectory, verified: Mapping[str, Verified]) -> None:
    content = {fingerprint: asdict(entry) for fingerprint, entry in verified.items()}
    write_atomically(directory.verification, json.dumps(content, indent=2) + "\n")
