"""`nas study`: a run's record leaves for other tools and other places, and comes back."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Json, RunDir

app = typer.Typer(help="Export, import and list the records of searches.", no_args_is_help=True)

Storage = Annotated[
    str,
    typer.Argument(metavar="STORAGE", help="postgresql:// or sqlite:/// URL, or a journal file.", show_default=False),
]


@app.command("export")
def export(
    directory: RunDir,
    storage: Annotated[
        str,
        typer.Option("--storage", metavar="URL|FILE", help="postgresql:// or sqlite:/// URL, or a journal file."),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Of the study there; by default the configuration's name.")
    ] = None,
) -> None:
    """Copy a run's study into an Optuna storage, for optuna-dashboard or to continue there."""
    from nas.run import Run
    from nas.storage.url import masked
    from nas.study_export import export_study, opened

    run = Run(directory)
    environment = run.directory.environment
    given = name or run.config.study.name or run.config.name
    with opened(str(run.where), to_read=True) as source, opened(storage) as target:
        count = export_study(
            source,
            target,
            source_name=run.config.study_name,
            name=given,
            space=run.space,
            config=run.config,
            environment=environment.read_text(encoding="utf-8") if environment.is_file() else None,
        )
    typer.echo(f"{count} trials are in {masked(storage)} as the study {given!r}.", err=True)


@app.command("import")
def import_(
    storage: Storage,
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="New run directory.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Which study; needed where there are several.")] = None,
    into: Annotated[
        str | None, typer.Option("--into", metavar="URL|FILE", help="Another storage instead of a run directory.")
    ] = None,
) -> None:
    """Bring an exported study back, exactly."""
    from nas.errors import UsageError
    from nas.run_import import import_run
    from nas.storage.url import masked
    from nas.study_export import import_study, list_studies, opened

    if (directory is None) == (into is None):
        raise UsageError("A study comes back into a run directory or into a storage; give DIR or --into, one of them.")
    with opened(storage, to_read=True) as source:
        names = [study.name for study in list_studies(source)]
        if name is None and len(names) != 1:
            raise UsageError(f"--name says which study; {masked(storage)} has {', '.join(names) or 'none'}.")
        chosen = name or names[0]
        if directory is not None:
            count = import_run(source, name=chosen, path=directory)
        else:
            with opened(str(into)) as target:
                count = import_study(source, target, source_name=chosen, name=chosen)
    typer.echo(f"{count} trials of {chosen!r} are in {directory or masked(str(into))}.", err=True)


@app.command("list")
def list_(storage: Storage, as_json: Json = False) -> None:
    """List the studies of a storage."""
    import json
    from dataclasses import asdict

    from nas.cli.text_table import text_table
    from nas.study_export import list_studies, opened

    with opened(storage, to_read=True) as source:
        studies = list_studies(source)
    if as_json:
        typer.echo(json.dumps([asdict(study) for study in studies], indent=2))
        return
    rows = [
        [study.name, str(study.num_trials), ", ".join(study.objectives), "search" if study.is_ours else "other"]
        for study in studies
    ]
    typer.echo(text_table(["study", "trials", "objectives", "written by"], rows, right=[False, True, False, False]))
