"""The demo as a user runs it: how long it takes, how much memory, and what comes out.

Starts the command in a process of its own and watches the whole process tree, Ray's daemons included. Installing is
not part of it. Whether evolution beats random search is reported by the demo itself, whichever way it goes, and is no
claim.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions

LEAST_CANDIDATES: Final = 24
LEAST_FRONTIER: Final = 3
MOST_MEMORY_GB: Final = 6.0
MOST_HELP_S: Final = 1.0
SAMPLE_EVERY_S: Final = 1.0


def measure(options: Options) -> Document:
    """Run the demo once and return what it took."""
    num_cores = len(os.sched_getaffinity(0))
    most_minutes = 5.0 if num_cores >= 4 else 10.0
    help_s = _help_seconds(repeats=9 if options.full else 5)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "demo"
        minutes, memory_gb = _watch(
            [sys.executable, "-m", "nas.cli.main", "search", "quick-cpu", "--run-dir", str(run)]
        )
        status = json.loads(_nas("status", run, "--json"))
        report_mb = (run / "report.html").stat().st_size / 1e6
    return Document(
        benchmark="demo",
        device=describe_device(options.device, num_threads=num_cores),
        versions=versions("hybridnas", "torch", "ray", "optuna"),
        figures={
            "demo: time": Figure(value=minutes, unit="min"),
            "demo: peak memory": Figure(value=memory_gb, unit="GB"),
            "demo: candidates": Figure(value=status["finished"], unit=""),
            "demo: frontier": Figure(value=len(status["frontier"]), unit=""),
            "demo: report": Figure(value=report_mb, unit="MB"),
            "nas --help: median": Figure(value=help_s, unit="s"),
        },
        claims=[
            Claim.at_most(f"the demo ends within minutes on {num_cores} cores", value=minutes, bound=most_minutes),
            Claim.at_least("candidates trained", value=status["finished"], bound=LEAST_CANDIDATES),
            Claim.at_least("members of the frontier", value=len(status["frontier"]), bound=LEAST_FRONTIER),
            Claim.at_most("peak memory of all processes, GB", value=memory_gb, bound=MOST_MEMORY_GB),
            Claim.at_most("nas --help, seconds", value=help_s, bound=MOST_HELP_S),
        ],
    )


def _watch(command: list[str]) -> tuple[float, float]:
    """Return minutes and peak gigabytes of a command's process tree."""
    started = time.monotonic()
    peak_bytes = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while process.poll() is None:
            peak_bytes = max(peak_bytes, _tree_bytes(process.pid))
            time.sleep(SAMPLE_EVERY_S)
        words = process.stderr.read()
    if process.returncode:
        raise IncorrectError(f"The demo ended with exit code {process.returncode}: {words}")
    return (time.monotonic() - started) / 60, peak_bytes / 1e9


def _tree_bytes(pid: int) -> int:
    """Return the memory of a process and its descendants, shared pages counted once between them."""
    total = 0
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in tree:
        try:
            info: Any = process.memory_full_info()
            total += info.pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total


def _help_seconds(*, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        _nas("--help")
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _nas(*arguments: object) -> str:
    command = [sys.executable, "-m", "nas.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main(measure, description=__doc__.splitlines()[0]))
