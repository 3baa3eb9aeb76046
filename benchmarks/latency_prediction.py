"""How well a sum over the latency table predicts whole hybrids, end to end, on the device at hand.

Random models of a small space run for real, prefill and decode, and take turns with one another; their table is measured
by the code behind `nas latency profile`. Says nothing about operators outside the space.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from latency.device_probe import current_fingerprint
from latency.measure import profile
from latency.plan import requests_for
from latency.predict import predict
from latency.table import LatencyTable
from latency.workload import Workload
from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.presets import load_preset
from search_spaces.space import ArchitectureSpace

CLEAR_MARGIN = 0.1
"""Pairs whose measured latencies differ by more than this share count as clearly ordered."""

MAPE_BOUND = 8.0
SPEARMAN_BOUND = 0.95


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Predicted against measured milliseconds over many models."""

    mape_percent: float
    bias_percent: float
    """Mean signed error; positive where predictions are too high."""

    p95_percent: float
    """95th percentile of the absolute error."""

    spearman: float
    clear_pairs_ordered_percent: float
    """Pairs measured more than 10 % apart whose order is predicted right."""


def accuracy(predicted_ms: NDArray[np.float64], measured_ms: NDArray[np.float64]) -> Accuracy:
    """Return how far and how well ordered the predictions are."""
    error = 100 * (predicted_ms / measured_ms - 1)
    ranks = [pd.Series(values).rank().to_numpy() for values in (predicted_ms, measured_ms)]
    order = [
        (predicted_ms[i] < predicted_ms[j]) == (measured_ms[i] < measured_ms[j])
        for i, j in combinations(range(len(measured_ms)), 2)
        if max(measured_ms[i], measured_ms[j]) > (1 + CLEAR_MARGIN) * min(measured_ms[i], measured_ms[j])
    ]
    return Accuracy(
        mape_percent=float(np.abs(error).mean()),
        bias_percent=float(error.mean()),
        p95_percent=float(np.percentile(np.abs(error), 95)),
        spearman=float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
        clear_pairs_ordered_percent=100 * float(np.mean(order)) if order else 100.0,
    )


class RunningModel:
    """One model and a workload it can be timed on, phase by phase."""

    def __init__(self, architecture: Architecture, *, workload: Workload, seed: int) -> None:
        self._model = HybridLM(architecture, seed=seed).eval()
        self._workload = workload
        self._state = self._model.new_state(
            batch_size=workload.batch_size, max_tokens=workload.max_tokens, device="cpu", dtype=torch.float32
        )
        self._prompt_BT = torch.randint(architecture.vocab_size, (workload.batch_size, workload.prompt_tokens))

    def time_ms(self) -> tuple[float, float]:
        """Run the workload once; return the milliseconds of the prompt and of all generated tokens."""
        self._model.reset_state(self._state)
        started = time.perf_counter()
        tokens_B = self._model.prefill(self._prompt_BT, self._state).argmax(-1)
        prompt_done = time.perf_counter()
        for _ in range(self._workload.generated_tokens):
            tokens_B = self._model.step(tokens_B, self._state).argmax(-1)
        return 1000 * (prompt_done - started), 1000 * (time.perf_counter() - prompt_done)


def measure_models(architectures: Sequence[Architecture], *, workload: Workload, rounds: int) -> NDArray[np.float64]:
    """Return median milliseconds, one line a model, prompt and generation apart; models take turns."""
    models = [RunningModel(architecture, workload=workload, seed=index) for index, architecture in enumerate(architectures)]
    times = np.array([[model.time_ms() for model in models] for _ in range(rounds + 1)])
    return cast(NDArray[np.float64], np.median(times[1:], axis=0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="quick-cpu")
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--generated-tokens", type=int, default=32)
    parser.add_argument("--seconds-per-set", type=float, default=0.4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    workload = Workload(
        phase="both", prompt_tokens=options.prompt_tokens, generated_tokens=options.generated_tokens
    )
    space = cast("ArchitectureSpace[object]", load_preset(options.preset))
    rng = np.random.default_rng(0)
    architectures = list({(a := space.decode(space.sample(rng=rng))).fingerprint(): a for _ in range(4 * options.models)}.values())[:options.models]
    operators = list(space.distinct_operators())
    requests = requests_for(
        operators, fixed=[(width, space.vocab_size) for width in {width for width, _ in operators}], workload=workload
    )
    torch.set_num_threads(options.threads)
    started = time.perf_counter()
    table = profile(requests, device="cpu", num_threads=options.threads, seconds_per_set=options.seconds_per_set)
    profile_s = time.perf_counter() - started
    with torch.inference_mode():
        measured = measure_models(architectures, workload=workload, rounds=options.rounds)
    second = profile(requests, device="cpu", num_threads=options.threads, seconds_per_set=options.seconds_per_set)
    out = {}
    for label, t in (("before", table), ("after", second)):
        predictions = [predict(a, workload, t) for a in architectures]
        for phase, pred, meas in (
            ("prefill", [p.prefill_ms for p in predictions], measured[:, 0]),
            ("decode", [p.decode_ms for p in predictions], measured[:, 1]),
            ("both", [p.milliseconds for p in predictions], measured.sum(1)),
        ):
            out[f"{label} {phase}"] = {k: round(v, 3) for k, v in asdict(accuracy(np.array(pred), meas)).items()}
    print(len(requests), "rows", round(profile_s, 1), "s")
    for k, v in out.items():
        print(k, v)
    if "-v":
        p = np.array([[x.prefill_ms, x.decode_ms] for x in predictions])
        for a, m, q in sorted(zip(architectures, measured, p), key=lambda z: z[0].hidden_size):
            print(a.hidden_size, a.depth, a.pattern, m.round(1), q.round(1), (q / m - 1).round(3))
    return 0


if __name__ == "__main__":
    sys.exit(main())
