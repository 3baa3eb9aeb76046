"""Measuring in pieces of a few minutes: rows of a table and times of whole models, kept on disk as they come.

A GPU is often lent by the minute. What was kept by another device, other versions or older kernels of ours is measured
again. What is measured, and what the figures are worth, the caller decides.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch

from latency.device import DeviceFingerprint
from latency.device_probe import current_fingerprint
from latency.measure import profile, threads
from latency.plan import MeasurementRequest, missing
from latency.rows import LatencyRow
from latency.samples import describe_failure
from latency.table import LatencyTable
from latency.validate import NamedArchitecture, time_whole_ms
from latency.workload import Workload
from operators.kernel_revision import KERNEL_REVISION
from search_spaces.errors import NasError

MORE_TO_DO: Final = 75
"""Exit code where time ran out before everything was measured; sysexits.h calls it a temporary failure."""

SAVE_EVERY_S: Final = 0.2


class MoreToDoError(NasError, RuntimeError):
    """Time ran out; what was measured is kept, and the same command goes on with the rest."""

    exit_code: ClassVar[int] = MORE_TO_DO


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """When to stop."""

    ends_at: float
    """By the monotonic clock, in seconds."""

    @classmethod
    def after(cls, minutes: float | None) -> "Deadline":
        """Return the deadline so many minutes from now; none never comes."""
        return cls(ends_at=float("inf") if minutes is None else time.monotonic() + 60 * minutes)

    @property
    def is_over(self) -> bool:
        """Whether it has come."""
        return time.monotonic() >= self.ends_at

    def check(self, left: str) -> None:
        """Raise if it has come.

        Args:
            left: what is still to do, in words.

        Raises:
            MoreToDoError: it has.
        """
        if self.is_over:
            raise MoreToDoError(f"Time is up with {left} to go; what was measured is kept: run again")


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeTime:
    """One architecture timed whole."""

    model: NamedArchitecture
    milliseconds: float
    """Median over all runs; NaN where it failed."""

    failure: str = ""


def add_arguments(parser: argparse.ArgumentParser, *, keep: Path) -> None:
    """Add `--minutes` and `--keep` to a command line."""
    parser.add_argument("--minutes", type=float, help=f"stop in time and exit with {MORE_TO_DO} if there is more to do")
    parser.add_argument("--keep", type=Path, default=keep, metavar="DIR", help=f"what was measured; {keep} if left out")


def measure_rows(
    requests: Sequence[MeasurementRequest],
    *,
    path: Path,
    device: str,
    num_threads: int,
    deadline: Deadline,
    seconds_per_set: float,
) -> LatencyTable:
    """Return the table at `path` with every row it lacked, but for those that failed before.

    Raises:
        MoreToDoError: time ran out, or the device must be opened anew after a failure.
        DeviceMismatchError: the table there is of another device or of other versions.
    """
    if path.exists():
        table = LatencyTable.load(path)
    else:
        table = LatencyTable(fingerprint=current_fingerprint(device, num_threads=num_threads))
    absent = to_measure(requests, table)
    if not absent:
        return table
    deadline.check(f"{len(absent)} rows")
    started = saved_at = time.monotonic()

    def report(done: int, total: int, row: LatencyRow) -> None:
        nonlocal saved_at
        now = time.monotonic()
        if now - saved_at > SAVE_EVERY_S:
            table.save(path)
            saved_at = now
            left_s = (now - started) * (total - done) / done
            sys.stderr.write(f"{done}/{total} rows, {row.describe()}, about {left_s:.0f} s left\n")
        if row.failure and _is_broken(device):
            raise MoreToDoError(
                f"{row.describe()} broke the device: {row.failure}. It counts as failed; run again for the rest"
            )
        if done < total:
            deadline.check(f"{total - done} rows")

    try:
        return profile(
            absent,
            device=device,
            num_threads=num_threads,
            table=table,
            report=report,
            seconds_per_set=seconds_per_set,
            num_sweeps=1,
        )
    finally:
        if len(table):
            table.save(path)


def to_measure(requests: Iterable[MeasurementRequest], table: LatencyTable | None) -> list[MeasurementRequest]:
    """Return the requests a table has neither a valid time nor a failure for."""
    absent = missing(requests, table)
    if table is None:
        return absent
    return [request for request in absent if (row := table.get(request.key)) is None or not row.failure]


def time_models(
    models: Sequence[NamedArchitecture],
    *,
    workload: Workload,
    path: Path,
    device: str,
    num_threads: int,
    rounds: int,
    deadline: Deadline,
) -> list[WholeTime]:
    """Return every model's time; models take turns, each built anew for its turn.

    Args:
        models: what to time.
        workload: what they run.
        path: file of runs, one line of JSON a turn; new turns are appended.
        device: where they run.
        num_threads: CPU threads.
        rounds: turns of every model, those kept included.
        deadline: when to stop between turns.

    Raises:
        MoreToDoError: time ran out, or the device must be opened anew after a failure.
    """
    conditions = _conditions(current_fingerprint(device, num_threads=num_threads))
    turns = _kept_turns(path, workload=workload, conditions=conditions)
    todo = [
        (turn, model)
        for turn in range(rounds)
        for model in models
        if turn >= len(turns[model.architecture.fingerprint()]) and not _failure(turns, model)
    ]
    for index, (_, model) in enumerate(todo):
        deadline.check(f"{len(todo) - index} turns of whole models")
        if _failure(turns, model):
            continue
        runs_ms: list[float] = []
        failure = ""
        try:
            with threads(num_threads):
                runs_ms = time_whole_ms(model.architecture, workload=workload, device=device)
        except Exception as error:
            failure = describe_failure(error)
        key = model.architecture.fingerprint()
        turn = {"architecture": key, "name": model.name, "milliseconds": runs_ms, "failure": failure}
        _append(path, {**turn, "workload": workload.to_dict(), "conditions": conditions})
        turns[key].append(turn)
        sys.stderr.write(f"{index + 1}/{len(todo)} turns, {model.name}: {failure or f'{np.median(runs_ms):.2f} ms'}\n")
        if failure and _is_broken(device):
            raise MoreToDoError(
                f"{model.name} broke the device: {failure}. It counts as failed; run again for the rest"
            )
    return [_whole_time(turns, model) for model in models]


def _is_broken(device: str) -> bool:
    """Return whether nothing runs on a device any more in this process, as after a kernel's illegal access."""
    try:
        torch.zeros(1, device=device).item()
    except RuntimeError:
        return True
    return False


def _whole_time(turns: dict[str, list[dict[str, Any]]], model: NamedArchitecture) -> WholeTime:
    failure = _failure(turns, model)
    if failure:
        return WholeTime(model=model, milliseconds=float("nan"), failure=failure)
    runs_ms = [run for turn in turns[model.architecture.fingerprint()] for run in turn["milliseconds"]]
    return WholeTime(model=model, milliseconds=float(np.median(runs_ms)))


def _failure(turns: dict[str, list[dict[str, Any]]], model: NamedArchitecture) -> str:
    return next((str(turn["failure"]) for turn in turns[model.architecture.fingerprint()] if turn["failure"]), "")


def _kept_turns(path: Path, *, workload: Workload, conditions: dict[str, str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        try:
            turn = json.loads(line)
        except json.JSONDecodeError:
            # The line a killed run was writing.
            continue
        if turn["workload"] == workload.to_dict() and turn["conditions"] == conditions:
            found[turn["architecture"]].append(turn)
    return found


def _append(path: Path, entry: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Begins with a line's end, so that a line cut off by a kill does not swallow this one.
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(entry)}")


def _conditions(fingerprint: DeviceFingerprint) -> dict[str, str]:
    """Return what times depend on: the device, its software and our kernels."""
    threads_if_cpu = {"threads": str(fingerprint.num_threads)} if fingerprint.kind == "cpu" else {}
    return {
        "device": fingerprint.device_name,
        "driver": fingerprint.driver,
        "torch": fingerprint.torch,
        "triton": fingerprint.triton,
        **fingerprint.backends,
        **threads_if_cpu,
        "kernels": KERNEL_REVISION,
    }
