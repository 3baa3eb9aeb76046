"""`nas data tokenizer`: learn a byte-level BPE from a text."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.data.options import MaxBytes, Source, ValidationFraction
from nas.cli.options import Json


def tokenizer(
    source: Source,
    vocab_size: Annotated[
        int, typer.Option("--vocab-size", metavar="N", help="Tokens, the 256 bytes and the end of a document included.")
    ],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="tokenizer.json to write.")],
    validation_fraction: ValidationFraction = 0.05,
    max_bytes: MaxBytes = None,
    as_json: Json = False,
) -> None:
    """Learn a byte-level BPE from the train documents of a text; the same text gives the same tokenizer."""
    import json

    from proxies.tokenizer_training import save_tokenizer, train_tokenizer

    learnt = train_tokenizer(
        source,
        vocab_size=vocab_size,
        name=f"{output.absolute().parent.name}/{output.name}",
        validation_fraction=validation_fraction,
        max_bytes=max_bytes,
    )
    save_tokenizer(learnt, output)
    if as_json:
        typer.echo(json.dumps({"file": str(output), **learnt.to_dict()}, indent=2))
    else:
        typer.echo(f"{output}: {learnt.vocab_size:,} tokens, sha256 {learnt.sha256}")
    if learnt.vocab_size < vocab_size:
        typer.echo(f"The text gives {learnt.vocab_size:,} tokens only; {vocab_size:,} were asked for.", err=True)
    typer.echo(f"Tokenize with it: nas data prepare {source} --tokenizer {output} --output DIR", err=True)
