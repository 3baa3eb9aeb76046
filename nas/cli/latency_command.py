"""`nas latency`: measure operators on a device, predict whole models from the table, list tables.

Needs no pydantic: these commands also run on a bare GPU machine.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nas.cli.options import Json

if TYPE_CHECKING:
    from latency.plan import MeasurementRequest
    from latency.workload import Workload

app = typer.Typer(help="Measure, predict and list latencies.", no_args_is_help=True)

TableFile = Annotated[Path, typer.Option("--table", metavar="FILE", help="The latency table (parquet).")]
HiddenSize = Annotated[int | None, typer.Option("--hidden-size", min=1, help="Width, where ARCH is a pattern.")]
VocabSize = Annotated[int | None, typer.Option("--vocab-size", min=1, help="Vocabulary, where ARCH is a pattern.")]
PhaseName = Annotated[Literal["prefill", "decode", "both"], typer.Option("--phase", help="Which part counts.")]
BatchSize = Annotated[int, typer.Option("--batch-size", min=1, help="Sequences at once.")]
PromptTokens = Annotated[int, typer.Option("--prompt-tokens", min=0, help="Tokens of the prompt.")]
GeneratedTokens = Annotated[int, typer.Option("--generated-tokens", min=0, help="Tokens generated after it.")]
DtypeName = Annotated[Literal["float32", "bfloat16", "float16"], typer.Option("--dtype", help="Number format.")]


@app.command()
def profile(
    table: TableFile = Path("latency.parquet"),
    space: Annotated[
        str | None, typer.Option("--space", metavar="NAME", help="Everything this space preset can need.")
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="ARCH", help="What these need: a reference, a spec file or a pattern."),
    ] = None,
    hidden_size: HiddenSize = None,
    vocab_size: VocabSize = None,
    phase: PhaseName = "decode",
    batch_size: BatchSize = 1,
    prompt_tokens: PromptTokens = 0,
    generated_tokens: GeneratedTokens = 1024,
    dtype: DtypeName = "float32",
    device: Annotated[str, typer.Option("--device", metavar="cpu|cuda", help="Where to measure.")] = "cpu",
    num_threads: Annotated[int, typer.Option("--num-threads", min=1, help="CPU threads.")] = 1,
) -> None:
    """Measure every row a space or architectures need that the table does not have yet."""
    from latency.plan import missing
    from latency.table import LatencyTable
    from latency.workload import Workload
    from nas.latency_source import measured_table

    workload = Workload(
        phase=phase,
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        generated_tokens=generated_tokens,
        dtype=dtype,
    )
    rows = _rows(workload, space=space, names=arch or [], hidden_size=hidden_size, vocab_size=vocab_size)
    absent = missing(rows, LatencyTable.load(table) if table.exists() else None)
    typer.echo(f"{len(rows)} rows needed, {len(absent)} to measure on {device}", err=True)

    def measuring(done: int, total: int, words: str) -> None:
        typer.echo(f"{done}/{total} {words}", err=True)

    grown = measured_table(rows, path=table, device=device, num_threads=num_threads, measuring=measuring)
    typer.echo(f"{table}: {len(grown.measured)} rows of {grown.fingerprint.describe()}")
    for row in grown.failed:
        typer.echo(f"not measured: {row.describe()}: {row.failure}", err=True)


@app.command()
def predict(
    arch: Annotated[
        str, typer.Argument(metavar="ARCH", help="A reference, a spec file or a pattern.", show_default=False)
    ],
    table: TableFile = Path("latency.parquet"),
    hidden_size: HiddenSize = None,
    vocab_size: VocabSize = None,
    phase: PhaseName = "decode",
    batch_size: BatchSize = 1,
    prompt_tokens: PromptTokens = 0,
    generated_tokens: GeneratedTokens = 1024,
    dtype: DtypeName = "float32",
    as_json: Json = False,
) -> None:
    """Predict what a workload takes with one architecture, and where the time goes."""
    import json

    from latency.predict import predict as predict_latency
    from latency.table import LatencyTable
    from latency.workload import Workload
    from nas.architectures import load_architecture
    from nas.cli.text_table import text_table

    architecture = load_architecture(arch, hidden_size=hidden_size, vocab_size=vocab_size)
    workload = Workload(
        phase=phase,
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        generated_tokens=generated_tokens,
        dtype=dtype,
    )
    loaded = LatencyTable.load(table)
    prediction = predict_latency(architecture, workload, loaded)
    if as_json:
        typer.echo(json.dumps(prediction.to_dict() | {"device": loaded.fingerprint.to_dict()}, indent=2))
        return
    interval = prediction.interval_ms
    bounds = "table not validated, no interval" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
    rows = [
        [name, f"{ms:.3f}", f"{ms / prediction.milliseconds:.0%}"]
        for name, ms in sorted(prediction.by_operator.items(), key=lambda part: -part[1])
    ]
    typer.echo(f"{architecture.pattern}, width {architecture.hidden_size}")
    typer.echo(f"{workload.describe()} on {loaded.fingerprint.describe()}")
    typer.echo(f"{prediction.milliseconds:.2f} ms ({bounds}), {prediction.tokens_per_second:.1f} tokens/s\n")
    typer.echo(text_table(["operator", "ms", "share"], rows, right=[False, True, True]))


@app.command("list")
def list_tables(
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE|DIR]…", help="Tables or folders of them; left out, those that ship."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List latency tables: device, rows, date, whether validated."""
    import json

    from latency.table import LatencyTable
    from latency.table_file import TableFileError
    from nas.cli.text_table import text_table

    tables = []
    for path in _table_paths(places):
        try:
            table = LatencyTable.load(path)
        except TableFileError as error:
            if places and path in places:
                raise
            typer.echo(f"skipped: {error}", err=True)
            continue
        tables.append(
            {
                "table": str(path),
                "device": table.fingerprint.describe(),
                "rows": len(table.measured),
                "failed": len(table.failed),
                "measured": table.fingerprint.date[:10],
                "validated": "validation" in table.metadata,
            }
        )
    if as_json:
        typer.echo(json.dumps(tables, indent=2))
    elif tables:
        cells = [[str(value) for value in entry.values()] for entry in tables]
        typer.echo(text_table(list(tables[0]), cells, right=[False, False, True, True, False, False]))
    else:
        typer.echo("No latency tables. Measure one with `nas latency profile`.", err=True)


def _table_paths(places: list[Path] | None) -> list[Path]:
    from importlib.resources import files

    shipped = Path(str(files("latency") / "tables"))
    folders = places or ([shipped] if shipped.is_dir() else [])
    return [path for place in folders for path in (sorted(place.glob("*.parquet")) if place.is_dir() else [place])]


def _rows(
    workload: "Workload", *, space: str | None, names: list[str], hidden_size: int | None, vocab_size: int | None
) -> "list[MeasurementRequest]":
    from latency.plan import requests_for_architecture
    from nas.architectures import load_architecture
    from nas.errors import UsageError
    from nas.latency_source import needed_rows
    from search_spaces.presets import load_preset

    if not space and not names:
        raise UsageError("Say what to measure: --space NAME, or --arch ARCH (more than once if you like).")
    rows = needed_rows(workload, load_preset(space)) if space else []
    for name in names:
        architecture = load_architecture(name, hidden_size=hidden_size, vocab_size=vocab_size)
        rows += requests_for_architecture(architecture, workload=workload)
    return list({row.key: row for row in rows}.values())
