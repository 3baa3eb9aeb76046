"""`nas export`: winners leave the run."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import RunDir


def export(
    directory: RunDir,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT", help="A file for one trial, a folder for several.")
    ],
    trial: Annotated[str, typer.Option("--trial", metavar="N|best|knee|frontier", help="Which trials leave.")] = "best",
    format_name: Annotated[str, typer.Option("--format", metavar="spec", help="In which format.")] = "spec",
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Export architectures of a run with their provenance."""
    from nas.errors import RunDirectoryError, UsageError
    from nas.export.spec import spec_yaml
    from nas.run import Run
    from nas.run_directory import write_atomically
    from nas.trial_choice import choose_trials
    from search_spaces.errors import near_miss

    if format_name != "spec":
        raise UsageError(f"Unknown export format {format_name!r}.{near_miss(format_name, ['spec'])}")
    run = Run(directory)
    records = choose_trials(run.study.history(), trial)
    unscored = [record.number for record in records if record.failure is not None]
    if unscored:
        raise UsageError(f"Only a trial that was scored can be exported; trial {unscored[0]} failed.")
    is_folder = trial == "frontier"
    targets = [output / f"trial-{record.number}.yaml" if is_folder else output for record in records]
    if is_folder and output.is_file():
        raise UsageError(f"A frontier is exported into a folder; {output} is a file. Choose another --output.")
    taken = [path for path in targets if path.exists()]
    if taken and not force:
        raise RunDirectoryError(f"{taken[0]} exists. Choose another output, or overwrite it with --force.")
    for record, path in zip(records, targets, strict=True):
        write_atomically(path, spec_yaml(run, record))
        typer.echo(str(path))
