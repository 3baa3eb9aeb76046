"""`nas latency profile`: measure the rows a table lacks."""

import time
from pathlib import Path

import typer

from nas.cli.latency.options import (
    Architectures,
    BatchSizes,
    DeviceName,
    DtypeName,
    GeneratedTokens,
    HiddenSize,
    NumThreads,
    PhaseName,
    PromptTokens,
    SpaceName,
    TableFile,
    VocabSize,
    generated_or_default,
    rows_for,
)
from search_spaces.errors import UnavailableError


def profile(
    table: TableFile = Path("latency.parquet"),
    space: SpaceName = None,
    arch: Architectures = None,
    hidden_size: HiddenSize = None,
    vocab_size: VocabSize = None,
    phase: PhaseName = "decode",
    batch_size: BatchSizes = None,
    prompt_tokens: PromptTokens = 0,
    generated_tokens: GeneratedTokens = None,
    dtype: DtypeName = "float32",
    device: DeviceName = "cpu",
    num_threads: NumThreads = 1,
) -> None:
    """Measure every row a space or architectures need that the table does not have yet, at one batch or several."""
    from latency.measure import profile as profile_rows
    from latency.plan import missing
    from latency.table import LatencyTable
    from latency.workload import Workload
    from nas.latency_source import measured_table

    rows = []
    for size in sorted(set(batch_size or [1])):
        workload = Workload(
            phase=phase,
            batch_size=size,
            prompt_tokens=prompt_tokens,
            generated_tokens=generated_or_default(generated_tokens, phase=phase),
            dtype=dtype,
        )
        rows += rows_for(workload, space=space, names=arch or [], hidden_size=hidden_size, vocab_size=vocab_size)
    absent = missing(rows, LatencyTable.load(table) if table.exists() else None)
    typer.echo(f"{len(rows)} rows needed, {len(absent)} to measure on {device}", err=True)

    started = time.monotonic()

    def measuring(done: int, total: int, words: str) -> None:
        left_s = (time.monotonic() - started) * (total - done) / done
        typer.echo(f"{done}/{total}, {words}, about {left_s:.0f} s left", err=True)

    grown = measured_table(rows, path=table, device=device, num_threads=num_threads, measuring=measuring)
    # Also where no row was missing: it must be a table of this device, and know how fast memory is.
    profile_rows([], device=device, num_threads=num_threads, table=grown)
    grown.save(table)
    typer.echo(f"{table}: {len(grown.measured)} rows of {grown.fingerprint.describe()}")
    for row in grown.failed:
        typer.echo(f"not measured: {row.describe()}: {row.failure}", err=True)
    measured = {(row.key.part, row.key.operator) for row in grown.measured}
    if any((row.key.part, row.key.operator) not in measured for row in grown.failed):
        raise typer.Exit(UnavailableError.exit_code)  # an operator that could not run at all
