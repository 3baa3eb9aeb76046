"""What `nas search` and `nas resume` do around a search: progress, interrupts, and at the end frontier and report."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import typer

from nas.cli.frontier_table import frontier_table
from nas.cli.progress import make_observer
from nas.config import SearchConfig
from nas.errors import SearchFailedError
from nas.interrupt import Interrupts
from nas.run import Run
from nas.run_directory import RunDirectory
from nas.search import SearchObserver, Uninterrupted, resume, start

INTERRUPTED_EXIT_CODE: Final = 75


def start_search(config: SearchConfig, path: Path) -> None:
    """Start a search and show its end."""
    _search_to_its_end(
        path, lambda observer, uninterrupted: start(config, path, observer=observer, uninterrupted=uninterrupted)
    )


def continue_search(path: Path, *, overrides: tuple[str, ...], expected: SearchConfig | None = None) -> None:
    """Continue a search and show its end; where a configuration is expected, only if the run has that one."""
    _search_to_its_end(
        path,
        lambda observer, uninterrupted: resume(
            path, overrides=overrides, expected=expected, observer=observer, uninterrupted=uninterrupted
        ),
    )


def _search_to_its_end(path: Path, search: Callable[[SearchObserver, Uninterrupted], Run]) -> None:
    interrupts = Interrupts()
    try:
        with interrupts.handled():
            with make_observer() as observer:
                run = search(observer, interrupts.deferred)
            _show_end(run)
    except KeyboardInterrupt:
        _say_interrupted(path)
    except (Exception, SystemExit) as error:
        if not interrupts.were_received:
            raise
        # What broke on the way out of an interrupt, a cluster that ended under it for one, is no failed search.
        typer.echo(f"While stopping: {type(error).__name__}: {error}", err=True)
        _say_interrupted(path)


def _say_interrupted(path: Path) -> NoReturn:
    if RunDirectory(path).config.is_file():
        typer.echo(f"Interrupted. Nothing that finished is lost; continue with: nas resume {path}", err=True)
    else:
        typer.echo("Interrupted before the search began; nothing was written.", err=True)
    raise typer.Exit(INTERRUPTED_EXIT_CODE)


def _show_end(run: Run) -> None:
    from dashboards.report import write_report

    results = run.results()
    write_report(results, run.directory.report)
    typer.echo(frontier_table(run))
    if results.comparison is not None:
        typer.echo(f"\n{results.comparison.sentence}")
    typer.echo(f"\nReport: {run.directory.report}", err=True)
    history = run.study.history()
    if not history.finished():
        raise SearchFailedError(
            f"None of {len(history)} candidates finished; the last one: {history[-1].status}"
            + (f", {failure.kind}: {failure.message}" if (failure := history[-1].failure) else ".")
            + f" See them with `nas status {run.directory.path}`."
        )
    typer.echo(f"Look closer: nas show {run.directory.path} TRIAL, nas dashboard {run.directory.path}", err=True)
