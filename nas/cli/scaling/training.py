"""What `nas scaling fit` does around the training of a grid: progress, interrupts, and whether there is any to do."""

from pathlib import Path
from typing import NoReturn

import typer

from nas.cli.progress import make_observer
from nas.cli.searching import INTERRUPTED_EXIT_CODE
from nas.config import SearchConfig
from nas.errors import NoStudyError
from nas.interrupt import Interrupts
from nas.run import Run
from nas.run_directory import RunDirectory
from nas.scaling.grid import STRATEGY, is_grid, measure_widths
from nas.search import resume, start


def train_grid(config: SearchConfig, path: Path) -> Run:
    """Train a new grid."""
    interrupts = Interrupts()
    try:
        with interrupts.handled(), make_observer() as observer:
            return start(config, path, observer=observer, uninterrupted=interrupts.deferred)
    except KeyboardInterrupt:
        _say_interrupted(path)


def continue_grid(path: Path, *, overrides: tuple[str, ...]) -> Run:
    """Return a run; where it is a grid that nobody trains now and that is not complete, train the rest first."""
    try:
        run = Run(path)
        if run.state == "running":
            typer.echo(f"{path} is still being written; the law is that of what has ended.", err=True)
            return run
        is_unfinished = is_grid(run) and run.state == "interrupted"
    except NoStudyError:
        is_unfinished = _begun_grid(path)
        if not is_unfinished:
            raise
    if not is_unfinished:
        return run
    interrupts = Interrupts()
    try:
        with interrupts.handled(), make_observer() as observer:
            return resume(path, overrides=overrides, observer=observer, uninterrupted=interrupts.deferred)
    except KeyboardInterrupt:
        _say_interrupted(path)


def with_widths(run: Run, widths: tuple[int, ...]) -> None:
    """Measure latency at further widths."""
    interrupts = Interrupts()
    try:
        with interrupts.handled(), make_observer() as observer:
            num_rows = measure_widths(run, widths=widths, observer=observer)
    except KeyboardInterrupt:
        _say_interrupted(run.directory.path)
    typer.echo(f"{num_rows} rows measured for {len(widths)} widths to choose from", err=True)


def _begun_grid(path: Path) -> bool:
    from nas.config import read_config

    directory = RunDirectory.open(path)
    config = read_config(directory.config.read_text(encoding="utf-8"), where=str(directory.config))
    return config.strategy.name == STRATEGY


def _say_interrupted(path: Path) -> NoReturn:
    if RunDirectory(path).config.is_file():
        typer.echo(f"Interrupted. Nothing that finished is lost; continue with: nas scaling fit {path}", err=True)
    else:
        typer.echo("Interrupted before training began; nothing was written.", err=True)
    raise typer.Exit(INTERRUPTED_EXIT_CODE)
