"""Time passes of calls on a CPU, in turns, until each had its time.

It knows calls and the rows they are charged to, not what an operator is: `cpu_mix.py` puts the passes together.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from latency.rows import RowKey
from latency.samples import describe_failure

LEAST_SAMPLES = 5

Call = tuple[RowKey, Callable[[Tensor], Tensor]]
"""The row that a call is charged to, and the call: it takes the stream and returns it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TimedPass:
    """Calls timed one after another, the first of them on `start`; its repeats together give one sample a row."""

    calls: Sequence[Call]
    start: Tensor
    repeats: int
    warmups: int
    """Repeats before those that count."""

    share: float = 1.0
    """Time to spend on the pass, over that of the others."""

    prepare: Sequence[Callable[[], None]] = ()
    """Called before every repeat, off the clock."""


def take_turns(
    passes: Iterable[TimedPass], *, seconds: float
) -> tuple[Mapping[RowKey, Sequence[float]], Mapping[RowKey, str]]:
    """Return the samples of every row in microseconds, and why a row has none where its pass could not be run.

    Args:
        passes: what to time.
        seconds: time for a pass of share 1; no pass gets fewer than `LEAST_SAMPLES` samples.
    """
    samples_us: dict[RowKey, list[float]] = defaultdict(list)
    failures: dict[RowKey, str] = {}
    spent_s = dict.fromkeys(passes, 0.0)
    num_runs = dict.fromkeys(spent_s, 0)
    while unfinished := [
        timed for timed in spent_s if spent_s[timed] < timed.share * seconds or num_runs[timed] <= LEAST_SAMPLES
    ]:
        timed = min(unfinished, key=lambda timed: spent_s[timed] / timed.share)
        started = time.perf_counter()
        try:
            means_us = _mean_us(timed)
        except Exception as error:
            failures.update(dict.fromkeys((row for row, _ in timed.calls), describe_failure(error)))
            del spent_s[timed]
            continue
        # The first run is not kept: it allocates, and picks the kernels.
        if num_runs[timed]:
            for row, mean_us in means_us.items():
                samples_us[row].append(mean_us)
        spent_s[timed] += time.perf_counter() - started
        num_runs[timed] += 1
    return samples_us, failures


def _mean_us(timed: TimedPass) -> dict[RowKey, float]:
    """Run a pass once; return the mean time of a call by row."""
    spent_ns = dict.fromkeys((row for row, _ in timed.calls), 0)
    clock = time.perf_counter_ns
    for repeat in range(-timed.warmups, timed.repeats):
        for prepare in timed.prepare:
            prepare()
        stream = timed.start
        before = clock()
        for row, call in timed.calls:
            stream = call(stream)
            now = clock()
            if repeat >= 0:
                spent_ns[row] += now - before
            before = now
    num_calls = Counter(row for row, _ in timed.calls)
    return {row: total_ns / 1000 / num_calls[row] / timed.repeats for row, total_ns in spent_ns.items()}
