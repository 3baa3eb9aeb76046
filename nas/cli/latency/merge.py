"""`nas latency merge`: several tables of one device become one."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    tables: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Tables of one device.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where the merged table goes.")],
) -> None:
    """Put the rows of several tables of one device and one set of versions together; later tables win.

    What validations found is not carried over: it speaks for the rows it was made with.
    """
    from latency.table import LatencyTable
    from latency.validation import validations_of
    from nas.errors import UsageError

    if output.exists() and output.resolve() not in [path.resolve() for path in tables]:
        raise UsageError(f"{output} exists already. Name another file with -o, or merge it in as well.")
    merged = LatencyTable(fingerprint=LatencyTable.load(tables[0]).fingerprint)
    num_dropped = 0
    for path in tables:
        table = LatencyTable.load(path)
        num_dropped += len(validations_of(table.metadata))
        merged.merge(table)
    merged.save(output)
    if num_dropped:
        typer.echo(
            f"{num_dropped} validation(s) were dropped; check the merged table with nas latency validate", err=True
        )
    typer.echo(f"{output}: {len(merged.measured)} rows of {merged.fingerprint.describe()}")
