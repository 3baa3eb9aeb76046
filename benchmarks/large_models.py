"""The GPU's half of `latency_prediction.py`: hybrids of 100M parameters and more, and the references that fit.

Rows come first, then whole models in turns, all kept on disk between runs of a few minutes. Every model decodes tokens
around the middle of 8192, whose mean step is that of all of them; the rows are those of a search for 8192 tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.document import Claim, DeviceName, Document, Figure, describe_device, versions
from benchmarks.published import SECONDS_FOR_8K
from benchmarks.resumable import Deadline, WholeTime, measure_rows, time_models
from latency.accuracy import Accuracy, accuracy
from latency.device_probe import current_fingerprint
from latency.memory import workload_memory
from latency.plan import requests_for_architecture
from latency.predict import predict
from latency.table import LatencyTable, UnmeasuredError
from latency.validate import NamedArchitecture
from latency.workload import Workload
from nas.latency_models import random_models
from nas.latency_source import needed_rows
from operators.cost import num_parameters
from search_spaces.presets import load_preset
from search_spaces.references import load_reference, reference_names
from search_spaces.specs import is_mixer

MOST_MAPE: Final = 2.0
MOST_P95: Final = 5.0
LEAST_SPEARMAN: Final = 0.99
LEAST_CLOSE_PAIRS: Final = 85.0
LEAST_REFERENCE_SPEARMAN: Final = 0.98
LEAST_HYBRIDS: Final = 40
LEAST_MILLION_PARAMETERS: Final = 100.0

DRAWN_PER_HYBRID: Final = 3
"""Random models to draw for each one wanted: some hold one kind of mixer only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured."""

    space: str
    references: tuple[str, ...]
    num_hybrids: int
    priced: Workload
    """Whose rows are measured."""

    run: Workload
    """What models run, within the contexts of `priced`."""

    rounds: int
    seconds_per_set: float


def gpu_plan(*, full: bool) -> Plan:
    """Return the plan for a GPU; the full one generates all 8192 tokens."""
    priced = Workload(phase="decode", generated_tokens=8192, dtype="bfloat16")
    middle = Workload(phase="decode", prompt_tokens=3840, generated_tokens=512, dtype="bfloat16")
    return Plan(
        space="flash-1b-decode-relaxed",
        references=reference_names(),
        num_hybrids=LEAST_HYBRIDS,
        priced=priced,
        run=priced if full else middle,
        rounds=2,
        seconds_per_set=0.25,
    )


def hybrids(plan: Plan) -> list[NamedArchitecture]:
    """Return random models of the space that hold more than one kind of mixer."""
    drawn = random_models(load_preset(plan.space), samples=DRAWN_PER_HYBRID * plan.num_hybrids, seed=0)
    mixed = [
        model for model in drawn if len({spec.letter for spec in model.architecture.operators if is_mixer(spec)}) > 1
    ]
    return mixed[: plan.num_hybrids]


def fitting_references(plan: Plan, *, device: DeviceName, memory_bytes: int) -> list[NamedArchitecture]:
    """Return the references that have room for what is run."""
    found = [NamedArchitecture(name=name, architecture=load_reference(name)) for name in plan.references]
    return [
        model for model in found if workload_memory(model.architecture, plan.run, device=device).total <= memory_bytes
    ]


def measured_document(plan: Plan, *, device: DeviceName, num_threads: int, keep: Path, deadline: Deadline) -> Document:
    """Measure what is not kept yet; compare.

    Raises:
        MoreToDoError: time ran out; what was measured is kept.
    """
    memory_bytes = current_fingerprint(device, num_threads=num_threads).memory_bytes
    random = hybrids(plan)
    references = fitting_references(plan, device=device, memory_bytes=memory_bytes)
    rows = needed_rows(plan.priced, load_preset(plan.space))
    for model in references:
        rows += requests_for_architecture(model.architecture, workload=plan.priced)
    table = measure_rows(
        list({row.key: row for row in rows}.values()),
        path=keep / "table.parquet",
        device=device,
        num_threads=num_threads,
        deadline=deadline,
        seconds_per_set=plan.seconds_per_set,
    )
    times = time_models(
        [*random, *references],
        workload=plan.run,
        path=keep / "whole.jsonl",
        device=device,
        num_threads=num_threads,
        rounds=plan.rounds,
        deadline=deadline,
    )
    return document(plan, table, times[: len(random)], times[len(random) :], device=device, num_threads=num_threads)


def document(
    plan: Plan,
    table: LatencyTable,
    random: Sequence[WholeTime],
    references: Sequence[WholeTime],
    *,
    device: DeviceName,
    num_threads: int,
) -> Document:
    """Return what predicted and measured times say of each other."""
    figures = {"rows measured": Figure(value=len(table.measured), unit="")}
    figures |= {f"rows that failed: {row.describe()}": Figure(value=1, unit="") for row in table.failed}
    of_random, of_references = (_compared(plan, table, group) for group in (random, references))
    smallest = min((num_parameters(time.model.architecture) for time, _ in of_random), default=0) / 1e6
    claims = [
        Claim.at_least("hybrids predicted and timed whole", value=len(of_random), bound=plan.num_hybrids),
        Claim.at_least("millions of parameters, smallest", value=smallest, bound=LEAST_MILLION_PARAMETERS),
        Claim.at_least(
            "references predicted and timed whole, of those that fit", value=len(of_references), bound=len(references)
        ),
    ]
    if len(of_random) > 1:
        found = _accuracy(of_random)
        figures |= _figures("hybrids", found)
        claims += [
            Claim.at_most("mean absolute error over hybrids, %", value=found.mape, bound=MOST_MAPE),
            Claim.at_most("95th percentile of the absolute error, %", value=found.p95, bound=MOST_P95),
            Claim.at_least("Spearman of predicted and measured, hybrids", value=found.spearman, bound=LEAST_SPEARMAN),
            Claim.at_least(
                "pairs within 10 % in the right order, %", value=found.close_pairs_ordered, bound=LEAST_CLOSE_PAIRS
            ),
        ]
    if len(of_references) > 1:
        found = _accuracy(of_references)
        figures |= _figures("references", found)
        claims.append(
            Claim.at_least(
                "Spearman of predicted and measured, references", value=found.spearman, bound=LEAST_REFERENCE_SPEARMAN
            )
        )
        figures |= _beside_published(plan, of_references)
    for time in (*random, *references):
        if time.failure:
            figures[f"{time.model.name}: failed"] = Figure(value=1, unit=time.failure)
    return Document(
        benchmark="latency_prediction",
        device=describe_device(device, num_threads=num_threads),
        versions=versions("torch", "triton", "flash-linear-attention", "mamba-ssm"),
        figures=figures,
        claims=claims,
    )


Compared = Sequence[tuple[WholeTime, float]]
"""Measured times, each with the predicted milliseconds."""


def _compared(plan: Plan, table: LatencyTable, times: Sequence[WholeTime]) -> Compared:
    found = []
    for time in times:
        if time.failure:
            continue
        try:
            found.append((time, predict(time.model.architecture, plan.run, table).milliseconds))
        except UnmeasuredError:
            # A row of it failed, which is among the figures; the claims count what is missing.
            continue
    return found


def _accuracy(compared: Compared) -> Accuracy:
    return accuracy(
        predicted_ms=[predicted for _, predicted in compared],
        measured_ms=[time.milliseconds for time, _ in compared],
    )


def _figures(subject: str, found: Accuracy) -> dict[str, Figure]:
    return {
        f"{subject}: models": Figure(value=found.num_models, unit=""),
        f"{subject}: mean absolute error": Figure(value=found.mape, unit="%"),
        f"{subject}: mean signed error": Figure(value=found.bias, unit="%"),
        f"{subject}: 95th percentile": Figure(value=found.p95, unit="%"),
        f"{subject}: Spearman": Figure(value=found.spearman, unit=""),
        f"{subject}: pairs over 10 % apart in the right order": Figure(value=found.clear_pairs_ordered, unit="%"),
        f"{subject}: closer pairs in the right order": Figure(value=found.close_pairs_ordered, unit="%"),
    }


def _beside_published(plan: Plan, compared: Compared) -> dict[str, Figure]:
    """Return each reference's seconds for all tokens, and its place by our clock and by the published seconds."""
    scale = plan.priced.generated_tokens / plan.run.generated_tokens / 1000
    seconds = {time.model.name: (scale * time.milliseconds, scale * predicted) for time, predicted in compared}
    published = [name for name in sorted(SECONDS_FOR_8K, key=SECONDS_FOR_8K.__getitem__) if name in seconds]
    by_ours = sorted(published, key=lambda name: seconds[name][0])
    figures = {}
    for name, (measured_s, predicted_s) in sorted(seconds.items(), key=lambda item: item[1][0]):
        figures[f"{name}: measured"] = Figure(value=measured_s, unit="s")
        figures[f"{name}: predicted"] = Figure(value=predicted_s, unit="s")
        if name in published:
            figures[f"{name}: published"] = Figure(value=SECONDS_FOR_8K[name], unit="s")
            figures[f"{name}: place"] = Figure(value=1 + by_ours.index(name), unit="")
            figures[f"{name}: published place"] = Figure(value=1 + published.index(name), unit="")
    if len(published) > 1:
        found = accuracy(
            predicted_ms=[SECONDS_FOR_8K[name] for name in published],
            measured_ms=[seconds[name][0] for name in published],
        )
        figures["Spearman of the published seconds and ours"] = Figure(value=found.spearman, unit="")
    return figures
