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
    from nas.errors import UsageError

    if output.exists() and output not in tables:
        raise UsageError(f"{output} exists already. Name another file with -o, or merge it in as well.")
    merged = LatencyTable(fingerprint=LatencyTable.load(tables[0]).fingerprint)
    for path in tables:
        merged.merge(LatencyTable.load(path))
    merged.save(output)
    typer.echo(f"{output}: {len(merged.measured)} rows of {merged.fingerprint.describe()}")
