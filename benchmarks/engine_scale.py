"""What the engine itself costs a candidate: proposing, recording and the frontier, where an evaluation costs nothing.

One search runs to the largest number of candidates; the cost at a number is the mean over the tenth of the candidates
before it, model fits of the surrogate included. Memory is the most that the process held. What a user waits for the
commands that look at a run of that size is timed whole, from the shell, the median of a few.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy is imported: one thread, as on a busy driver

import numpy as np

from benchmarks.document import Claim, Document, Figure, IncorrectError, Options, describe_device, main, versions
from benchmarks.large_run import write_large_run
from benchmarks.nk_landscape import Genome, NKLandscape
from nas.candidates import Evaluated, Outcome
from nas.engine import run
from nas.evolution.registry import make_strategy
from nas.evolution.strategy import Problem
from nas.executors.inprocess import InProcessExecutor
from nas.storage.open import journal_storage
from nas.study import Study

NUM_CANDIDATES: Final = (100, 1_000, 10_000)
STRATEGIES: Final = ("random", "aging", "frontier", "surrogate")
MOST_MS: Final = 10.0
MOST_GROWTH: Final = 2.0
MOST_MEMORY_GB: Final = 1.0

LOOKS: Final = {"status": ("status", "--json"), "pareto": ("pareto", "--json")}
"""Commands that look at a run, with what makes them print JSON."""

MOST_LOOK_S: Final = 2.0
_NUM_LOOKS: Final = 5


def costs_ms(strategy: str, *, num_candidates: tuple[int, ...], storage: Path) -> list[float]:
    """Return the milliseconds of a candidate at each number of them; the study is kept in a journal file.

    Raises:
        IncorrectError: a candidate was lost.
    """
    landscape = NKLandscape(k=2, seed=0, num_genes=24)
    stamps: list[float] = []
    problem: Problem[Genome] = Problem(
        space=landscape,
        expensive=("error",),
        cheap=lambda genome: {"price": landscape.price(genome)},
        cheap_objectives=("price",),
    )
    study: Study[Genome] = Study(space=landscape, objectives=problem.objectives, storage=journal_storage(storage))
    run(
        problem,
        make_strategy(strategy, problem, {}),
        study=study,
        executor=InProcessExecutor(partial(_evaluate, landscape, stamps)),
        num_evaluations=max(num_candidates),
        seed=0,
    )
    if len(study.history()) != max(num_candidates):
        raise IncorrectError(f"{strategy}: {len(study.history())} of {max(num_candidates)} candidates are on record.")
    each_ms = 1000 * np.diff(stamps)
    return [float(each_ms[count - count // 10 - 1 : count].mean()) for count in num_candidates]


def looks_s(run: Path, *, num_trials: int) -> dict[str, list[float]]:
    """Return the seconds of each command that looks at a run, every time it was called.

    Raises:
        IncorrectError: a command does not show what is in the run.
    """
    program = str(Path(sys.executable).with_name("nas"))
    seconds: dict[str, list[float]] = {name: [] for name in LOOKS}
    shown: dict[str, str] = {}
    for _ in range(_NUM_LOOKS):
        for name, (command, option) in LOOKS.items():
            began = time.perf_counter()
            result = subprocess.run([program, command, str(run), option], capture_output=True, text=True, check=True)
            seconds[name].append(time.perf_counter() - began)
            shown[name] = result.stdout
    status, frontier = json.loads(shown["status"]), json.loads(shown["pareto"])
    if status["evaluations"]["ended"] != num_trials:
        raise IncorrectError(f"nas status shows {status['evaluations']['ended']} of {num_trials} candidates.")
    if status["frontier"] != [row["trial"] for row in frontier] or not frontier:
        raise IncorrectError("nas pareto shows another frontier than nas status.")
    return seconds


def benchmark(options: Options) -> Document:
    """Run every strategy to the largest number of candidates."""
    del options
    figures: dict[str, Figure] = {}
    claims = []
    for strategy in STRATEGIES:
        with tempfile.TemporaryDirectory() as folder:
            found = costs_ms(strategy, num_candidates=NUM_CANDIDATES, storage=Path(folder) / "journal")
        for count, cost in zip(NUM_CANDIDATES, found, strict=True):
            figures[f"{strategy}: at {count}"] = Figure(value=cost, unit="ms")
        claims += [
            Claim.at_most(
                f"{strategy}: milliseconds a candidate at {max(NUM_CANDIDATES)}", value=found[-1], bound=MOST_MS
            ),
            Claim.at_most(
                f"{strategy}: cost at {NUM_CANDIDATES[-1]} over cost at {NUM_CANDIDATES[-2]}",
                value=found[-1] / found[-2],
                bound=MOST_GROWTH,
            ),
        ]
    memory_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux counts in KiB
    figures["process: memory"] = Figure(value=memory_gb, unit="GB")
    claims.append(Claim.at_most("peak resident memory of all searches, GB", value=memory_gb, bound=MOST_MEMORY_GB))
    with tempfile.TemporaryDirectory() as folder:
        write_large_run(Path(folder) / "run", num_trials=max(NUM_CANDIDATES))
        looks = looks_s(Path(folder) / "run", num_trials=max(NUM_CANDIDATES))
    for name, seconds in looks.items():
        median = statistics.median(seconds)
        figures[f"nas {name} at {max(NUM_CANDIDATES)}"] = Figure(value=median, unit="s")
        claims.append(Claim.at_most(f"{name}_{max(NUM_CANDIDATES)}_s", value=median, bound=MOST_LOOK_S))
    return Document(
        benchmark="engine_scale",
        device=describe_device("cpu", num_threads=1),
        versions=versions("numpy", "optuna", "scipy"),
        figures=figures,
        claims=claims,
    )


def _evaluate(landscape: NKLandscape, stamps: list[float], genome: Genome, seed: int) -> Outcome:
    del seed  # the landscape has no noise
    stamps.append(time.perf_counter())
    return Evaluated(objectives={"error": landscape.error(genome)})


if __name__ == "__main__":
    sys.exit(main(benchmark, description="Cost of the engine for each candidate."))
