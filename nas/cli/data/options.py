"""Arguments and options that the commands of `nas data` share."""

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="stdlib, file:PATH (a file, a folder or a glob) or hf:NAME:SPLIT (a data set of the hub).",
        show_default=False,
    ),
]

Shards = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `nas data prepare` made.", show_default=False)]

ValidationFraction = Annotated[
    float,
    typer.Option("--validation-fraction", metavar="X", help="Share of the documents that validate, by their hash."),
]

MaxBytes = Annotated[
    int | None, typer.Option("--max-bytes", metavar="N", min=1, help="UTF-8 bytes after which reading stops.")
]
