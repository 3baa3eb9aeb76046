"""`nas latency validate`: predict models, time them whole, and keep how far off the predictions were."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.latency.options import (
    Architectures,
    BatchSize,
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
)
from nas.cli.options import Json

if TYPE_CHECKING:
    from latency.validation import Validation

WORST_SHOWN = 5


def validate(
    table: TableFile = Path("latency.parquet"),
    space: SpaceName = None,
    samples: Annotated[int, typer.Option("--samples", min=0, help="Random architectures of the space.")] = 40,
    arch: Architectures = None,
    hidden_size: HiddenSize = None,
    vocab_size: VocabSize = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random architectures.")] = 0,
    phase: PhaseName = "decode",
    batch_size: BatchSize = 1,
    prompt_tokens: PromptTokens = 0,
    generated_tokens: GeneratedTokens = None,
    dtype: DtypeName = "float32",
    device: DeviceName = "cpu",
    num_threads: NumThreads = 1,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE.html", help="Draw predicted against measured.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a table against whole models on its device, and store what was found with it."""
    import json

    from latency.table import LatencyTable
    from latency.validate import validate as validate_table
    from latency.workload import Workload
    from nas.latency_models import models_to_validate

    workload = Workload(
        phase=phase,
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        generated_tokens=generated_or_default(generated_tokens, phase=phase),
        dtype=dtype,
    )
    loaded = LatencyTable.load(table)
    models = models_to_validate(
        space=space, samples=samples, names=arch or [], seed=seed, hidden_size=hidden_size, vocab_size=vocab_size
    )

    def report(done: int, total: int, words: str) -> None:
        typer.echo(f"{done}/{total} {words}", err=True)

    found = validate_table(
        models, workload=workload, table=loaded, device=device, num_threads=num_threads, report=report
    )
    loaded.add_validation(found)
    loaded.save(table)
    if picture is not None:
        from dashboards.pages.validation import write_validation_page
        from nas.results.validation_picture import validation_picture

        write_validation_page(validation_picture(found, device=loaded.fingerprint.describe()), picture)
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else _in_words(found, table=table))


def _in_words(found: "Validation", *, table: Path) -> str:
    from nas.cli.text_table import text_table
    from nas.results.validation_picture import findings

    rows = [
        [
            model.name,
            str(model.hidden_size),
            f"{model.predicted_ms:.2f}",
            f"{model.measured_ms:.2f}",
            f"{100 * model.error:+.1f} %",
        ]
        for model in found.worst[:WORST_SHOWN]
    ]
    headers = ["worst predicted", "width", "predicted ms", "measured ms", "error"]
    title = f"{table}: {found.workload.describe()}, {len(found.models)} models"
    return "\n".join((title, *findings(found), "", text_table(headers, rows, right=[False, *[True] * 4])))
