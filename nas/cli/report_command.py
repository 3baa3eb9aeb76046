"""`nas report`: the pictures of a run, or of trainings anywhere, as one file that works offline."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR…", help="Run directory of a search; or trainings to compare.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE.html", help="Where to; report.html in DIR if left out and there is one."
        ),
    ] = None,
) -> None:
    """Write the report of a run, finished or not; or one picture of several trainings."""
    from nas.errors import UsageError
    from nas.winners.training_directory import TrainingDirectory

    are_trainings = [TrainingDirectory(directory).is_begun for directory in directories]
    if len(directories) > 1 and not all(are_trainings):
        other = directories[are_trainings.index(False)]
        raise UsageError(
            f"A report is of one search, or of trainings; {other} holds no training. Name one run directory, or the "
            "outputs of nas train."
        )
    if output is None and len(directories) > 1:
        raise UsageError("A report of several trainings needs a place. Add --output FILE.html.")
    path = output or directories[0] / "report.html"
    if path.is_dir():
        raise UsageError(f"--output names a file; {path} is a folder. Write {path / 'report.html'}, for example.")
    if all(are_trainings):
        from dashboards.pages.training import write_training_page
        from nas.winners.curves import read_trainings

        write_training_page(read_trainings(directories), path)
    else:
        from dashboards.report import write_report
        from nas.run import Run

        write_report(Run(directories[0], broken_trials="kept").results(), path)
    typer.echo(str(path))
