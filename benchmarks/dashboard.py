"""The dashboard over a study of ten thousand candidates, in a real browser: how long a reader waits, and what it takes.

A run directory as a long search leaves it is served by `nas dashboard`, a process of its own, and looked at by Chromium
without a window. Times are taken inside the page by its own clock, from the reader's input (or, for the first picture,
from the navigation) to the frame after the picture was drawn. A live update begins with the question that finds the
news: what comes before is waiting for the page's clock, two seconds at most. The browser draws WebGL on the processor.
"""

import itertools
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.chromium import open_chromium
from benchmarks.dashboard_page import (
    REPETITIONS,
    WAIT_MS,
    brush_ms,
    check_whole,
    filter_ms,
    first_picture_ms,
    live_ms,
    open_page,
    raise_incorrect,
    selection_ms,
    table_filter_ms,
    view_ms,
)
from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from benchmarks.large_run import write_large_run

NUM_TRIALS: Final = 10_000

MOST_FIRST_MS: Final = 3000.0
MOST_INPUT_MS: Final = 300.0
MOST_LIVE_MS: Final = 500.0
MOST_MEMORY_GB: Final = 1.0
MOST_REPORT_MB: Final = 8.0

_START_S: Final = 120


def benchmark(options: Options) -> Document:
    """Measure everything over one run."""
    del options
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        write_large_run(run, num_trials=NUM_TRIALS)
        with _server(run) as (address, process), open_chromium() as browser:
            times = _times_ms(browser, address, run)
            memory_gb = _peak_memory_gb(process.pid)
            report_mb = _report_mb(run, browser)
    figures = {
        name: figure
        for subject, values in times.items()
        for name, figure in (
            (f"{subject}: median", Figure(value=statistics.median(values), unit="ms")),
            (f"{subject}: most", Figure(value=max(values), unit="ms")),
        )
    }
    figures["server: peak memory"] = Figure(value=memory_gb, unit="GB")
    figures["report: size"] = Figure(value=report_mb, unit="MB")
    return Document(
        benchmark="dashboard",
        device=describe_device("cpu", num_threads=1),
        versions=versions("dash", "plotly", "pandas", "orjson", "playwright"),
        figures=figures,
        claims=claims(times, memory_gb=memory_gb, report_mb=report_mb),
    )


def claims(times: dict[str, list[float]], *, memory_gb: float, report_mb: float) -> list[Claim]:
    """Return the claims on what was measured: times in milliseconds by name, several of each."""
    bounds = {
        "first picture": MOST_FIRST_MS,
        "filter": MOST_INPUT_MS,
        "selection": MOST_INPUT_MS,
        "brush": MOST_INPUT_MS,
        "table filter": MOST_INPUT_MS,
        "live update": MOST_LIVE_MS,
    }
    return [
        *(
            Claim.at_most(f"{name} of {NUM_TRIALS} candidates, ms", value=statistics.median(times[name]), bound=bound)
            for name, bound in bounds.items()
        ),
        Claim.at_most("peak resident memory of the server, GB", value=memory_gb, bound=MOST_MEMORY_GB),
        Claim.at_most("report, MB", value=report_mb, bound=MOST_REPORT_MB),
    ]


def append_result(run: Path, *, number: int) -> None:
    """Add a candidate to a run's study, as a search that goes on does: a copy of another genome, a new figure."""
    from nas.candidates import Candidate, Evaluated, Proposal
    from nas.config import read_config
    from nas.run_directory import RunDirectory
    from nas.storage.open import journal_storage
    from nas.study import Study

    directory = RunDirectory.open(run)
    config = read_config(directory.config.read_text(encoding="utf-8"), where=str(directory.config))
    space: Any = config.load_space()
    study: Study[Any] = Study(
        space=space, objectives=config.objectives, storage=journal_storage(directory.journal), name=config.study_name
    )
    genome = space.sample(rng=np.random.default_rng(number))
    target = space.decode(genome)
    study.add(
        Candidate(
            number=number,
            proposal=Proposal(genome=genome, origin="random", parent=None, mutation=""),
            fingerprint=target.fingerprint(),
            seed=0,
            cheap={"latency_ms": 17.0, "num_parameters": 1e9},
            description={
                "target": target.to_dict(),
                "proxy": target.to_dict(),
                "latency_by_operator": {"mamba2": 17.0},
            },
        )
    )
    study.finish(number, Evaluated(objectives={"perplexity": 40.0}, details={"tokens_seen": 4_096_000}))


def _times_ms(browser: Any, address: str, run: Path) -> dict[str, list[float]]:
    numbers = itertools.count(NUM_TRIALS)
    first = [first_picture_ms(browser, f"{address}?trial={number}") for number in range(REPETITIONS)]
    page = open_page(browser, address)
    check_whole(page, "dashboard", num_trials=NUM_TRIALS)
    return {
        "first picture": first,
        "filter": filter_ms(page, num_failed=NUM_TRIALS // 50),
        "selection": selection_ms(page),
        "live update": live_ms(page, lambda: append_result(run, number=next(numbers))),
        "brush": brush_ms(page),
        "table filter": table_filter_ms(page),
        **view_ms(browser, address),
    }


@contextmanager
def _server(run: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Serve a run as a user does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).with_name("nas"))
    process = subprocess.Popen(
        [program, "dashboard", str(run), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        give_up = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > give_up:
                    raise IncorrectError(f"nas dashboard did not start within {_START_S} s.") from None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/", process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _peak_memory_gb(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8")
    (kib,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(kib) * 1024 / 1e9


def _report_mb(run: Path, browser: Any) -> float:
    """Write the report of the run, and see that a browser that is offline draws its picture whole."""
    from dashboards.report import write_report
    from nas.run import Run

    path = run / "report.html"
    write_report(Run(run).results(), path)
    page = browser.new_context(offline=True).new_page()
    page.set_default_timeout(WAIT_MS)
    page.on("pageerror", raise_incorrect)
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelector('#graph-pareto')?.calcdata?.length > 0")
    check_whole(page, "report", num_trials=NUM_TRIALS)
    return path.stat().st_size / 1e6


if __name__ == "__main__":
    sys.exit(main(benchmark, description="The dashboard over ten thousand candidates in a real browser."))
