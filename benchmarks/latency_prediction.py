"""How well the sum over a latency table predicts whole hybrids, end to end, on this machine's CPU.

Random models of a small space run for real, prompt and generation, and their table is measured by the code behind
`nas latency profile`; sweeps over the table and rounds of the models take turns, so that both meet the same machine. Says
nothing about operators outside the space, and nothing about GPUs.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from latency.measure import profile
from latency.plan import MeasurementRequest, requests_for
from latency.predict import predict
from latency.rows import RowKey
from latency.table import LatencyTable
from latency.workload import Workload
from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.presets import load_preset
from search_spaces.space import ArchitectureSpace

Array = NDArray[np.float64]

CLEAR_MARGIN = 0.1
"""Pairs whose measured latencies differ by more than this share count as clearly ordered."""


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Predicted against measured latency over many models; errors in percent of the measured."""

    mape: float
    bias: float
    """Mean signed error; positive where predictions are too high."""

    p95: float
    """95th percentile of the absolute error."""

    spearman: float
    clear_pairs_ordered: float
    """Percentage of the pairs more than 10 % apart whose order is predicted right."""


def accuracy(*, predicted_ms: Array, measured_ms: Array) -> Accuracy:
    """Return how far off and how well ordered the predictions are."""
    error = 100 * (predicted_ms / measured_ms - 1)
    ranks = [np.argsort(np.argsort(values)) for values in (predicted_ms, measured_ms)]
    ordered = [
        (predicted_ms[i] < predicted_ms[j]) == (measured_ms[i] < measured_ms[j])
        for i, j in combinations(range(len(measured_ms)), 2)
        if max(measured_ms[i], measured_ms[j]) > (1 + CLEAR_MARGIN) * min(measured_ms[i], measured_ms[j])
    ]
    return Accuracy(
        mape=float(np.abs(error).mean()),
        bias=float(error.mean()),
        p95=float(np.percentile(np.abs(error), 95)),
        spearman=float(np.corrcoef(*ranks)[0, 1]),
        clear_pairs_ordered=100 * float(np.mean(ordered)),
    )


class RunningModel:
    """One model, and a workload it can run again and again."""

    def __init__(self, architecture: Architecture, *, workload: Workload, seed: int) -> None:
        self._model = HybridLM(architecture, seed=seed).eval()
        self._workload = workload
        self._state = self._model.new_state(
            batch_size=workload.batch_size, max_tokens=workload.max_tokens, device="cpu", dtype=torch.float32
        )
        generator = torch.Generator().manual_seed(seed)
        shape = (workload.batch_size, workload.prompt_tokens)
        self._prompt_BT = torch.randint(architecture.vocab_size, shape, generator=generator)

    def run_ms(self) -> tuple[float, float]:
        """Run the workload; return the milliseconds of the prompt and of all generated tokens."""
        self._model.reset_state(self._state)
        started = time.perf_counter()
        tokens_B = self._model.prefill(self._prompt_BT, self._state).argmax(-1)
        prompt_done = time.perf_counter()
        for _ in range(self._workload.generated_tokens):
            tokens_B = self._model.step(tokens_B, self._state).argmax(-1)
        return 1000 * (prompt_done - started), 1000 * (time.perf_counter() - prompt_done)


def pooled(tables: Sequence[LatencyTable]) -> LatencyTable:
    """Return a table of the rows' medians over several sweeps."""
    times_us: dict[RowKey, list[float]] = defaultdict(list)
    for row in (row for table in tables for row in table.measured):
        times_us[row.key].append(row.median_us)
    rows = [replace(row, median_us=float(np.median(times_us[row.key]))) for row in tables[0].measured]
    return LatencyTable(fingerprint=tables[0].fingerprint, rows=rows)


def alternate(
    models: Sequence[RunningModel],
    requests: Sequence[MeasurementRequest],
    *,
    rounds: int,
    num_threads: int,
    typical_depth: int,
) -> tuple[Array, LatencyTable]:
    """Return the models' median milliseconds [models, (prompt, generation)] and the table measured between them."""
    times_ms, tables = [], []
    with torch.inference_mode():
        for model in models:
            model.run_ms()
        for _ in range(rounds):
            tables.append(
                profile(
                    requests, device="cpu", num_threads=num_threads, num_sweeps=1, typical_depth=typical_depth
                )
            )
            times_ms.append([model.run_ms() for model in models])
    return cast(Array, np.median(np.array(times_ms), axis=0)), pooled(tables)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency_prediction", description=__doc__)
    parser.add_argument("--preset", default="quick-cpu", help="space the models are drawn from")
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    workload = Workload(phase="both", prompt_tokens=128, generated_tokens=32)
    space = cast("ArchitectureSpace[object]", load_preset(options.preset))
    rng = np.random.default_rng(0)
    drawn: dict[str, Architecture] = {}
    while len(drawn) < options.models:
        architecture = space.decode(space.sample(rng=rng))
        drawn.setdefault(architecture.fingerprint(), architecture)
    architectures = list(drawn.values())
    operators = list(space.distinct_operators())
    requests = requests_for(
        operators, fixed=sorted({(width, space.vocab_size) for width, _ in operators}), workload=workload
    )
    torch.set_num_threads(options.threads)
    measured_ms, table = alternate(
        [RunningModel(architecture, workload=workload, seed=seed) for seed, architecture in enumerate(architectures)],
        requests,
        rounds=options.rounds,
        num_threads=options.threads,
        typical_depth=round(np.mean([architecture.depth for architecture in architectures])),
    )
    predictions = [predict(architecture, workload, table) for architecture in architectures]
    pm = np.array([[p.prefill_ms, p.decode_ms] for p in predictions])
    for name, p, m in (
        ("prefill", pm[:, 0], measured_ms[:, 0]),
        ("decode", pm[:, 1], measured_ms[:, 1]),
        ("both", pm.sum(1), measured_ms.sum(1)),
    ):
        print(name, accuracy(predicted_ms=p, measured_ms=m))
    from latency.rows import operator_name
    for name, c in (("prefill", 0), ("decode", 1)):
        e = pm[:, c] / measured_ms[:, c] - 1
        for w in sorted({a.hidden_size for a in architectures}):
            print(name, w, np.mean([x for x, a in zip(e, architectures) if a.hidden_size == w]).round(3), end=" ")
        A = np.array([[sum(operator_name(s) == k for s in a.operators) / a.depth for k in ("attention", "mamba2", "deltanet", "ffn")] + [a.depth / 100] for a in architectures])
        print("\n  fractions a m2 d f, depth/100:", np.linalg.lstsq(A, e, rcond=None)[0].round(2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
