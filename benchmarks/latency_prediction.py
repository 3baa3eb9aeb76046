"""How well the sum over a latency table predicts whole models, end to end.

On a CPU random models of a small space run for real, prompt and generation, and their table is measured by the code
behind `nas latency profile`; sweeps over the table and rounds of the models take turns, so that both meet the same
machine. Says nothing about operators outside the space. What runs on a GPU is `large_models.py`.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
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
from benchmarks.large_models import gpu_plan, measured_document
from benchmarks.resumable import Deadline, add_arguments
from latency.accuracy import accuracy
from latency.measure import profile
from latency.plan import MeasurementRequest, requests_for
from latency.predict import predict
from latency.rows import RowKey
from latency.table import LatencyTable
from latency.whole_model import WholeModel
from latency.workload import Workload
from nas.latency_models import random_models
from operators.model import HybridLM
from search_spaces.architecture import Architecture
from search_spaces.presets import load_preset
from search_spaces.space import ArchitectureSpace

Array = NDArray[np.float64]

PRESET = "quick-cpu"
NUM_MODELS = 40
NUM_THREADS = 1
ROUNDS = 12

NUM_PREDICTIONS = 10_000

SECONDS_PER_SET = 0.1
"""Less than a user's profile spends, since every round measures the table again."""

MOST_MAPE = 8.0
LEAST_SPEARMAN = 0.95
LEAST_CLEAR_PAIRS = 95.0
MOST_MS_A_PREDICTION = 2.0
MOST_S_ALL_PREDICTIONS = 10.0
LARGEST_DISAGREEMENT = 1e-3


def pooled(tables: Sequence[LatencyTable]) -> LatencyTable:
    """Return a table of the rows' medians over several sweeps."""
    times_us: dict[RowKey, list[float]] = defaultdict(list)
    for row in (row for table in tables for row in table.measured):
        times_us[row.key].append(row.median_us)
    rows = [replace(row, median_us=float(np.median(times_us[row.key]))) for row in tables[0].measured]
    return LatencyTable(fingerprint=tables[0].fingerprint, rows=rows)


def alternate(
    models: Sequence[WholeModel],
    requests: Sequence[MeasurementRequest],
    *,
    rounds: int,
    num_threads: int,
    typical_depth: int,
) -> tuple[Array, LatencyTable]:
    """Return the models' median milliseconds [models, (prompt, generation)] and the table measured between them."""
    times_ms, tables = [], []
    for model in models:
        model.run()
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
        runs = [model.run() for model in models]
        times_ms.append([(run.prefill_ms, run.decode_ms) for run in runs])
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


def seconds_to_predict(
    space: ArchitectureSpace[Any], table: LatencyTable, *, workload: Workload
) -> tuple[float, float]:
    """Return the seconds that predicting one candidate takes, and those of `NUM_PREDICTIONS` distinct ones."""
    rng = np.random.default_rng(1)
    candidates = [space.decode(space.sample(rng=rng)) for _ in range(NUM_PREDICTIONS)]
    started = time.perf_counter()
    predict(candidates[0], workload, table)
    first_done = time.perf_counter()
    for candidate in candidates:
        predict(candidate, workload, table)
    return first_done - started, time.perf_counter() - first_done


def benchmark(options: Options, *, keep: Path, deadline: Deadline) -> Document:
    """Measure a table and models in turns; compare. On a GPU they come one after the other, over several runs.

    Raises:
        MoreToDoError: on a GPU time ran out; what was measured is kept.
    """
    if options.device == "cuda":
        plan = gpu_plan(full=options.full)
        return measured_document(plan, device="cuda", num_threads=NUM_THREADS, keep=keep, deadline=deadline)
    workload = Workload(phase="both", prompt_tokens=128, generated_tokens=32)
    space = load_preset(PRESET)
    architectures = [model.architecture for model in random_models(space, samples=NUM_MODELS, seed=0)]
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
        [WholeModel(architecture, workload=workload, device="cpu") for architecture in architectures],
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
            f"{phase}: closer pairs in the right order": Figure(value=found.close_pairs_ordered, unit="%"),
        }
    # The lookup remembers sums; a fresh one is what a search begins with.
    fresh = LatencyTable(fingerprint=table.fingerprint, rows=table)
    one_s, all_s = seconds_to_predict(space, fresh, workload=workload)
    figures["predicting one candidate"] = Figure(value=1000 * one_s, unit="ms")
    figures[f"predicting {NUM_PREDICTIONS} candidates"] = Figure(value=all_s, unit="s")
    return Document(
        benchmark="latency_prediction",
        device=describe_device("cpu", num_threads=NUM_THREADS),
        versions=versions("torch"),
        figures=figures,
        claims=[
            Claim.at_most("mean absolute error of prefill and decode, %", value=whole.mape, bound=MOST_MAPE),
            Claim.at_least("Spearman of predicted and measured", value=whole.spearman, bound=LEAST_SPEARMAN),
            Claim.at_least(
                "pairs more than 10 % apart in the right order, %",
                value=whole.clear_pairs_ordered,
                bound=LEAST_CLEAR_PAIRS,
            ),
            Claim.at_most("ms to predict one candidate", value=1000 * one_s, bound=MOST_MS_A_PREDICTION),
            Claim.at_most(f"s to predict {NUM_PREDICTIONS} candidates", value=all_s, bound=MOST_S_ALL_PREDICTIONS),
        ],
    )


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; on a GPU in pieces of so many minutes."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_arguments(parser, keep=Path("runs/latency-prediction"))
    parsed, rest = parser.parse_known_args(arguments)
    return main(
        partial(benchmark, keep=parsed.keep, deadline=Deadline.after(parsed.minutes)),
        description=(
            "Accuracy of latencies predicted from a table, against whole models. On a GPU --minutes N stops in time, "
            "and --keep DIR says where measured rows and models are kept for the next run."
        ),
        devices=("cpu", "cuda"),
        arguments=rest,
    )


if __name__ == "__main__":
    sys.exit(command())
