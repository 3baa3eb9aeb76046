"""Make the latency table that ships for the GPU at hand: measure rows, check them on whole models, put it in place.

Runs in pieces of a few minutes, without the packages that a search needs. Decode rows only: prompts are priced from
tables that users measure themselves. `make gpu-tables` runs it; what is claimed of a table is `latency_prediction.py`.
"""

import argparse
import datetime
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.resumable import Deadline, add_arguments, measure_rows, time_models, to_measure
from latency.device_probe import current_fingerprint
from latency.memory import inference_memory
from latency.plan import MeasurementRequest, requests_for_architecture
from latency.predict import predict
from latency.table import LatencyTable, UnmeasuredError
from latency.validate import NamedArchitecture
from latency.validation import ValidatedModel, Validation
from latency.workload import Dtype, Workload
from nas.latency_models import random_models
from nas.latency_source import needed_rows
from operators.cost import num_parameters
from search_spaces.errors import NasError, SpecError
from search_spaces.presets import load_preset, preset_names
from search_spaces.references import load_reference, reference_names

SPACES: Final = ("flash-1b-decode", "flash-1b-decode-relaxed")
TOKENS: Final = (8192, 32768)
"""Lengths of the generations whose contexts have rows."""

BATCH_SIZES: Final = (1, 4, 16, 64)
SAMPLES: Final = 40
FEWER_SAMPLES: Final = 4
"""Batches beyond 1 are checked with so many times fewer random models, in one round."""

ROUNDS: Final = 2
CHECKED_TOKENS: Final = 256
SECONDS_PER_SET: Final = 0.15

ESTIMATED_ROW_S: Final = 0.6
ESTIMATED_TURN_S: Final = 3.5

FOLDER: Final = Path(__file__).parents[1] / "latency" / "tables"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a table is to hold."""

    spaces: tuple[str, ...]
    references: tuple[str, ...]
    tokens: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    dtype: Dtype
    samples: int
    """Random models to check batch 1 with, over all spaces."""

    def workloads(self, batch_size: int) -> list[Workload]:
        """Return the generations whose rows a batch has."""
        return [
            Workload(phase="decode", batch_size=batch_size, generated_tokens=tokens, dtype=self.dtype)
            for tokens in self.tokens
        ]

    def checked_workload(self, batch_size: int) -> Workload:
        """Return what models run to check a batch: tokens around the middle of the shortest generation.

        Their mean step is that of all of it. Larger batches stand nearer its beginning, since reading prompts of many
        sequences takes longer than the steps that are timed.
        """
        shortest = min(self.tokens)
        generated = min(CHECKED_TOKENS, max(1, shortest // 4))
        prompt = max(generated, (shortest - generated) // 2 // batch_size)
        return Workload(
            phase="decode",
            batch_size=batch_size,
            prompt_tokens=min(prompt, shortest - generated),
            generated_tokens=generated,
            dtype=self.dtype,
        )

    def rounds(self, batch_size: int) -> int:
        """Return the turns of every model that checks a batch."""
        return ROUNDS if batch_size == 1 else 1


def fitting(contents: Contents, workload: Workload, *, device: str, memory_bytes: int) -> list[NamedArchitecture]:
    """Return the references that have room for a workload on a device."""
    found = []
    for name in contents.references:
        architecture = load_reference(name)
        needed = inference_memory(
            architecture,
            max_tokens=workload.max_tokens + 1,
            dtype=workload.dtype,
            batch_size=workload.batch_size,
            device="cuda" if device.startswith("cuda") else "cpu",
        )
        if needed.total <= memory_bytes:
            found.append(NamedArchitecture(name=name, architecture=architecture))
    return found


def rows_of(contents: Contents, *, device: str, memory_bytes: int) -> list[MeasurementRequest]:
    """Return every row, the smallest batch first."""
    rows: list[MeasurementRequest] = []
    for batch_size in contents.batch_sizes:
        for workload in contents.workloads(batch_size):
            for space in contents.spaces:
                rows += needed_rows(workload, load_preset(space))
            for model in fitting(contents, workload, device=device, memory_bytes=memory_bytes):
                rows += requests_for_architecture(model.architecture, workload=workload)
    # Rows of one operator and batch are measured together, wherever they stand.
    return list({row.key: row for row in rows}.values())


def models_of(contents: Contents, batch_size: int, *, device: str, memory_bytes: int) -> list[NamedArchitecture]:
    """Return the models that check a batch: random ones of every space, and the references that fit."""
    samples = contents.samples if batch_size == 1 else max(2, contents.samples // FEWER_SAMPLES)
    models = []
    for index, space in enumerate(contents.spaces):
        share = samples // len(contents.spaces) + (index < samples % len(contents.spaces))
        models += random_models(load_preset(space), samples=share, seed=0)
    shortest = min(contents.workloads(batch_size), key=lambda workload: workload.generated_tokens)
    models += fitting(contents, shortest, device=device, memory_bytes=memory_bytes)
    return list({model.architecture.fingerprint(): model for model in models}.values())


def check(
    contents: Contents, batch_size: int, *, table: LatencyTable, runs: Path, device: str, deadline: Deadline
) -> Validation:
    """Time the models that check a batch, and return what they say of the table.

    Raises:
        MoreToDoError: time ran out.
        SpecError: fewer than two of them could be predicted and ran.
    """
    workload = contents.checked_workload(batch_size)
    models = models_of(contents, batch_size, device=device, memory_bytes=table.fingerprint.memory_bytes)
    predicted_ms: dict[str, float] = {}
    for model in models:
        try:
            predicted_ms[model.architecture.fingerprint()] = predict(model.architecture, workload, table).milliseconds
        except UnmeasuredError as error:
            sys.stderr.write(f"batch {batch_size}: {model.name} cannot be predicted: {error}\n")
    times = time_models(
        [model for model in models if model.architecture.fingerprint() in predicted_ms],
        workload=workload,
        path=runs,
        device=device,
        num_threads=table.fingerprint.num_threads,
        rounds=contents.rounds(batch_size),
        deadline=deadline,
    )
    for failed in (time for time in times if time.failure):
        sys.stderr.write(f"batch {batch_size}: {failed.model.name} did not run: {failed.failure}\n")
    validated = tuple(
        ValidatedModel(
            name=time.model.name,
            hidden_size=time.model.architecture.hidden_size,
            num_parameters=num_parameters(time.model.architecture),
            predicted_ms=predicted_ms[time.model.architecture.fingerprint()],
            measured_ms=time.milliseconds,
        )
        for time in times
        if not time.failure
    )
    if len(validated) < 2:
        raise SpecError(f"A table is checked with at least two models; batch {batch_size} has {len(validated)}.")
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Validation(date=date, workload=workload, models=validated)


def table_name(device_name: str, dtype: Dtype) -> str:
    """Return the file name of a device's table, such as `nvidia-h100-80gb-hbm3-bfloat16.parquet`."""
    return f"{re.sub('[^a-z0-9]+', '-', device_name.lower()).strip('-')}-{dtype}.parquet"


def make_table(contents: Contents, *, device: str, keep: Path, folder: Path, deadline: Deadline) -> Path:
    """Measure, check and put in place; return the file.

    Raises:
        MoreToDoError: time ran out; what was measured is in `keep`.
        UnavailableError: there is no such device.
    """
    fingerprint = current_fingerprint(device, num_threads=1)
    growing = keep / "table.parquet"
    rows = rows_of(contents, device=device, memory_bytes=fingerprint.memory_bytes)
    absent = to_measure(rows, LatencyTable.load(growing) if growing.exists() else None)
    turns = sum(
        contents.rounds(size) * len(models_of(contents, size, device=device, memory_bytes=fingerprint.memory_bytes))
        for size in contents.batch_sizes
    )
    seconds = ESTIMATED_ROW_S * len(absent) + ESTIMATED_TURN_S * turns
    _say(
        f"{fingerprint.describe()}: {len(rows)} rows, {len(absent)} to measure; {turns} turns of whole models, those "
        f"kept included: on a GPU about {seconds:.0f} s"
    )
    table = measure_rows(
        rows, path=growing, device=device, num_threads=1, deadline=deadline, seconds_per_set=SECONDS_PER_SET
    )
    for row in table.failed:
        _say(f"not measured: {row.describe()}: {row.failure}")
    for batch_size in contents.batch_sizes:
        found = check(contents, batch_size, table=table, runs=keep / "whole.jsonl", device=device, deadline=deadline)
        table.add_validation(found)
        accuracy = found.accuracy
        _say(
            f"batch {batch_size}: {found.describe()}, bias {accuracy.bias:+.1f} %, 95th percentile "
            f"{accuracy.p95:.1f} %, Spearman {accuracy.spearman:.3f}"
        )
    path = folder / table_name(table.fingerprint.device_name, contents.dtype)
    table.save(path)
    _say(f"{path}: {len(table.measured)} rows of {table.fingerprint.describe()}")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0 where the table is in place, 75 where there is more to do, or an error's exit code."""
    parser = argparse.ArgumentParser(description="Make the latency table that ships for a GPU.")
    parser.add_argument("--device", default="cuda", metavar="cuda|cpu")
    parser.add_argument("--spaces", nargs="+", choices=preset_names(), default=SPACES)
    parser.add_argument("--references", nargs="*", choices=reference_names(), default=reference_names())
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=BATCH_SIZES)
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), default="bfloat16")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--to", type=Path, default=FOLDER, metavar="DIR", help="where the finished table goes")
    add_arguments(parser, keep=Path("runs/gpu-tables"))
    parsed = parser.parse_args(arguments)
    contents = Contents(
        spaces=tuple(parsed.spaces),
        references=tuple(parsed.references),
        tokens=tuple(parsed.tokens),
        batch_sizes=tuple(sorted(parsed.batch_sizes)),
        dtype=parsed.dtype,
        samples=parsed.samples,
    )
    try:
        make_table(
            contents,
            device=parsed.device,
            keep=parsed.keep,
            folder=parsed.to,
            deadline=Deadline.after(parsed.minutes),
        )
    except NasError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
