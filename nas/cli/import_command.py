"""`nas import`: a published model becomes a checkpoint of ours."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from nas.cli.options import Json

if TYPE_CHECKING:
    from nas.importing.folder import ImportedModel
    from proxies.tokenizers import Tokenizer


ORIGIN: Final = "import"
"""Of the weights, in the checkpoint's provenance."""


def import_model(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="A published model: config.json and safetensors.", show_default=False),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="CKPT", help="The checkpoint to write.")],
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", metavar="float32|bfloat16|float16", help="Of the weights; by default as published."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier import wrote there.")] = False,
    as_json: Json = False,
) -> None:
    """Read a published model into our operators: to time it, evaluate it, train it on, or learn from it.

    NemotronH, Nemotron-Flash, Granite, Bamba, Qwen3.5, Qwen3, Qwen2 and Llama can be read.
    """
    import json

    from nas.errors import RunDirectoryError, UsageError
    from nas.export.staging import staged
    from nas.importing.dtypes import DTYPES
    from nas.importing.folder import read_folder
    from nas.importing.tokenizer import read_published_tokenizer
    from nas.winners.weights import build, save_model
    from search_spaces.errors import near_miss

    if dtype is not None and dtype not in DTYPES:
        raise UsageError(f"Weights cannot be of dtype {dtype!r}.{near_miss(dtype, DTYPES)}")
    taken = output.exists() and (not output.is_dir() or any(output.iterdir()))
    if taken and not force:
        raise RunDirectoryError(f"{output} exists. Choose another output, or replace the checkpoint with --force.")
    if taken and not _is_imported(output):
        raise RunDirectoryError(
            f"{output} is no imported checkpoint, so --force does not replace it. Choose another output."
        )
    imported = read_folder(folder, dtype=None if dtype is None else DTYPES[dtype])
    tokenizer = None
    if imported.has_tokenizer:
        tokenizer = read_published_tokenizer(folder, vocab_size=imported.architecture.vocab_size)
    model = build(imported.architecture, imported.weights, where=folder)
    with staged(output, is_folder=True) as place:
        save_model(place, model, tokenizer=tokenizer, provenance=_provenance(folder, imported))
    report = _report(output, imported, tokenizer, num_parameters=sum(p.numel() for p in model.parameters()))
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    typer.echo(f"{report['model_type']}: {report['pattern']}", err=True)
    typer.echo(
        f"{report['parameters']:,} parameters, {report['tokenizer'] or 'no tokenizer.json in the folder'}", err=True
    )
    typer.echo(str(output))


def _is_imported(output: Path) -> bool:
    from nas.errors import CheckpointError
    from nas.winners.model_folder import MODEL_FILE, read_model_folder

    try:
        return (output / MODEL_FILE).is_file() and read_model_folder(output).provenance.get("origin") == ORIGIN
    except CheckpointError:
        return False


def _provenance(folder: Path, imported: "ImportedModel") -> dict[str, object]:
    return {"origin": ORIGIN, "folder": folder.absolute().name, "model_type": imported.model_type}


def _report(
    output: Path, imported: "ImportedModel", tokenizer: "Tokenizer | None", *, num_parameters: int
) -> dict[str, object]:
    architecture = imported.architecture
    return {
        "path": str(output),
        "model_type": imported.model_type,
        "pattern": architecture.pattern,
        "fingerprint": architecture.fingerprint(),
        "parameters": num_parameters,
        "tokenizer": None if tokenizer is None else f"tokenizer of {tokenizer.vocab_size} tokens",
    }
