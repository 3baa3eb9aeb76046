"""`nas report`: the pictures of a run as one file that works offline."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import RunDir


def report(
    directory: RunDir,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.html", help="Where to; report.html in DIR if left out."),
    ] = None,
) -> None:
    """Write the report of a run, finished or not."""
    from dashboards.report import write_report
    from nas.errors import UsageError
    from nas.run import Run

    run = Run(directory)
    path = output or run.directory.report
    if path.is_dir():
        raise UsageError(f"--output names a file; {path} is a folder. Write {path / 'report.html'}, for example.")
    write_report(run.results(), path)
    typer.echo(str(path))
