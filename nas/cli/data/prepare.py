"""`nas data prepare`: tokenize a text once, into files that trainings map."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.data.options import MaxBytes, Source, ValidationFraction
from nas.cli.options import Json

if TYPE_CHECKING:
    from proxies.shard_writing import PreparedShards

_SAY_EVERY_S = 10.0


def prepare(
    source: Source,
    output: Annotated[
        Path,
        typer.Option("--output", metavar="DIR", help="New folder, or one whose preparation ended before its time."),
    ],
    tokenizer: Annotated[
        str,
        typer.Option("--tokenizer", metavar="bytes|PATH|hf:NAME", help="PATH is a tokenizer.json or its folder."),
    ] = "bytes",
    validation_fraction: ValidationFraction = 0.05,
    shard_tokens: Annotated[
        int | None, typer.Option("--shard-tokens", metavar="N", min=1, help="Tokens a file.  [default: 33554432]")
    ] = None,
    max_bytes: MaxBytes = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="That tokenize.")] = 1,
    as_json: Json = False,
) -> None:
    """Tokenize a text into shards; after a kill the same command goes on where it ended.

    Train on them with proxy.corpus: tokens:DIR.
    """
    import json

    from nas.cli.data.info import describe, summary
    from proxies.shard_writing import DEFAULT_SHARD_TOKENS, prepare_shards
    from proxies.tokenizers import load_tokenizer

    started = said = time.monotonic()

    def report(num_documents: int, num_bytes: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            rate = num_bytes / 1e6 / (said - started)
            typer.echo(f"{num_documents:,} documents, {num_bytes / 1e6:,.0f} MB read, {rate:,.1f} MB/s", err=True)

    try:
        prepared = prepare_shards(
            source,
            tokenizer=load_tokenizer(tokenizer),
            folder=output,
            validation_fraction=validation_fraction,
            shard_tokens=shard_tokens or DEFAULT_SHARD_TOKENS,
            max_bytes=max_bytes,
            num_processes=processes,
            report=report,
        )
    except KeyboardInterrupt:
        # Only now: it brings along everything that a search needs.
        from nas.cli.searching import INTERRUPTED_EXIT_CODE

        typer.echo("Interrupted. The files that are finished are kept; the same command goes on.", err=True)
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from None
    typer.echo(
        json.dumps(summary(output, prepared.manifest), indent=2) if as_json else describe(output, prepared.manifest)
    )
    typer.echo(_how(prepared, seconds=time.monotonic() - started), err=True)


def _how(prepared: "PreparedShards", *, seconds: float) -> str:
    if prepared.was_there:
        return "Prepared already; nothing was written. Compare the files with: nas data verify " + str(prepared.folder)
    kept = f", {prepared.num_kept} file(s) of an earlier call kept" if prepared.num_kept else ""
    return f"Prepared in {seconds:.1f} s{kept}. Train on it with proxy.corpus: tokens:{prepared.folder}"
