"""`nas search`: start a search, or say what it would cost."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Address, ExecutorName, Overrides, with_resources


def search(
    config: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="Configuration file, or the name of one that ships.", show_default=False),
    ],
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="New folder for everything the search leaves.")
    ] = None,
    overrides: Overrides = None,
    executor: ExecutorName = None,
    address: Address = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the search would cost, and stop.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue DIR if a search was started there, else start one.")
    ] = False,
) -> None:
    """Search for the frontier of perplexity and latency."""
    from nas.cli.searching import continue_search, start_search
    from nas.config import MAY_CHANGE, load_config
    from nas.errors import UsageError
    from nas.run_directory import RunDirectory

    given = with_resources(overrides, executor=executor, address=address)
    loaded = load_config(config, overrides=given)
    if dry_run:
        from nas.dry_run import dry_run as expected_cost

        typer.echo(expected_cost(loaded))
        return
    if run_dir is None:
        raise UsageError("A search needs a folder for its results. Add --run-dir DIR.")
    if resume and RunDirectory(run_dir).config.is_file():
        # A cluster's retry gives the same command again; what else it says must be what the run was begun with.
        continue_search(run_dir, expected=loaded, overrides=tuple(x for x in given if x.startswith(MAY_CHANGE)))
    else:
        start_search(loaded, run_dir)
