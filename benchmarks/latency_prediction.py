"""How well the sum over a latency table predicts whole hybrids, end to end, on this machine's CPU.

Random models of a small space run for real, prompt and generation, and their table is measured by the code behind
`nas latency profile`; sweeps over the table and rounds of the models take turns, so that both meet the same machine.
Says nothing about operators outside the space, and nothing about GPUs.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.document import (
    Claim,
    Document,
    Figure,
    IncorrectError,
    Options,
    describe_device,
    main,
    versions,
)
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

PRESET = "quick-cpu"
NUM_MODELS = 40
NUM_THREADS = 1
ROUNDS = 12

CLEAR_MARGIN = 0.1
"""Pairs whose measured latencies differ by more than this share count as clearly ordered."""

SECONDS_PER_SET = 0.1
"""Less than a user's profile spends, since every round measures the table again."""

MOST_MAPE = 8.0
LEAST_SPEARMAN = 0.95
LARGEST_DISAGREEMENT = 1e-3


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
        spearman=float(np.corrcoef(ranks[0], ranks[1])[0, 1]),
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
        """Run the workload; return the milliseconds of the prompt and of all generated tokens.

        The prompt is run once before, off the clock: models take turns, and a model in use is not cold.
        """
        self._model.reset_state(self._state)
        self._model.prefill(self._prompt_BT, self._state)
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
                    requests,
                    device="cpu",
                    num_threads=num_threads,
                    num_sweeps=1,
                    seconds_per_set=SECONDS_PER_SET,
                    typical_depth=typical_depth,
                )
            )
            times_ms.append([model.run_ms() for model in models])
    return cast(Array, np.median(np.array(times_ms), axis=0)), pooled(tables)


def largest_disagreement(architecture: Architecture, *, workload: Workload) -> float:
    """Return how far a prompt and single steps are from one pass over all tokens, over the size of the logits."""
    model = HybridLM(architecture, seed=0).eval()
    tokens_BT = torch.randint(
        architecture.vocab_size, (1, workload.max_tokens), generator=torch.Generator().manual_seed(0)
    )
    state = model.new_state(batch_size=1, max_tokens=workload.max_tokens, device="cpu", dtype=torch.float32)
    with torch.inference_mode():
        expected_BTV = model(tokens_BT)
        found = [model.prefill(tokens_BT[:, : workload.prompt_tokens], state)]
        found += [
            model.step(tokens_BT[:, index], state) for index in range(workload.prompt_tokens, workload.max_tokens)
        ]
        error_BTV = torch.stack(found, dim=1) - expected_BTV[:, workload.prompt_tokens - 1 :]
    return float(error_BTV.abs().max() / expected_BTV.abs().max())


def draw(space: ArchitectureSpace[Any], *, count: int) -> list[Architecture]:
    """Return distinct random architectures of a space, the same ones every time."""
    rng = np.random.default_rng(0)
    drawn: dict[str, Architecture] = {}
    while len(drawn) < count:
        architecture = space.decode(space.sample(rng=rng))
        drawn.setdefault(architecture.fingerprint(), architecture)
    return list(drawn.values())


def benchmark(options: Options) -> Document:
    """Measure a table and models in turns; compare."""
    workload = Workload(phase="both", prompt_tokens=128, generated_tokens=32)
    space = load_preset(PRESET)
    architectures = draw(space, count=NUM_MODELS)
    torch.set_num_threads(NUM_THREADS)
    disagreement = largest_disagreement(architectures[0], workload=workload)
    if disagreement > LARGEST_DISAGREEMENT:
        raise IncorrectError(
            f"A prompt and single steps must give the logits of one pass, within {LARGEST_DISAGREEMENT:.0e} of the "
            f"largest; they differ by {disagreement:.1e}. Run the tests of the operators."
        )
    operators = list(space.distinct_operators())
    widths = sorted({width for width, _ in operators})
    requests = requests_for(operators, fixed=[(width, space.vocab_size) for width in widths], workload=workload)
    measured_ms, table = alternate(
        [RunningModel(architecture, workload=workload, seed=seed) for seed, architecture in enumerate(architectures)],
        requests,
        rounds=ROUNDS * (3 if options.full else 1),
        num_threads=NUM_THREADS,
        typical_depth=round(sum(architecture.depth for architecture in architectures) / NUM_MODELS),
    )
    predictions = [predict(architecture, workload, table) for architecture in architectures]
    predicted_ms = np.array([(prediction.prefill_ms, prediction.decode_ms) for prediction in predictions])
    whole = accuracy(predicted_ms=predicted_ms.sum(1), measured_ms=measured_ms.sum(1))
    figures = {
        "models": Figure(value=NUM_MODELS, unit=""),
        "rows measured": Figure(value=len(table), unit=""),
    }
    for phase, found in (
        ("prefill", accuracy(predicted_ms=predicted_ms[:, 0], measured_ms=measured_ms[:, 0])),
        ("decode", accuracy(predicted_ms=predicted_ms[:, 1], measured_ms=measured_ms[:, 1])),
        ("both", whole),
    ):
        figures |= {
            f"{phase}: mean absolute error": Figure(value=found.mape, unit="%"),
            f"{phase}: mean signed error": Figure(value=found.bias, unit="%"),
            f"{phase}: 95th percentile of the absolute error": Figure(value=found.p95, unit="%"),
            f"{phase}: Spearman": Figure(value=found.spearman, unit=""),
            f"{phase}: pairs over 10 % apart in the right order": Figure(value=found.clear_pairs_ordered, unit="%"),
        }
    return Document(
        benchmark="latency_prediction",
        device=describe_device("cpu", num_threads=NUM_THREADS),
        versions=versions("torch"),
        figures=figures,
        claims=[
            Claim.at_most("mean absolute error of prefill and decode, %", value=whole.mape, bound=MOST_MAPE),
            Claim.at_least("Spearman of predicted and measured", value=whole.spearman, bound=LEAST_SPEARMAN),
        ],
    )


if __name__ == "__main__":
    raise SystemExit(main(benchmark, description="Accuracy of latencies predicted from a table, against whole models."))
