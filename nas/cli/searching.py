"""What `nas search` and `nas resume` do around a search: progress, interrupts, and at the end frontier and report."""

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
from nas.search import resume, start

INTERRUPTED_EXIT_CODE: Final = 75


def start_search(config: SearchConfig, path: Path) -> None:
    """Start a search and show its end."""
    interrupts = Interrupts()
    try:
        with interrupts.handled(), make_observer() as observer:
            run = start(config, path, observer=observer, uninterrupted=interrupts.deferred)
    except KeyboardInterrupt:
        _say_interrupted(path)
    _show_end(run)


def continue_search(path: Path, *, overrides: tuple[str, ...], expected: SearchConfig | None = None) -> None:
    """Continue a search and show its end; where a configuration is expected, only if the run has that one."""
    interrupts = Interrupts()
    try:
        with interrupts.handled(), make_observer() as observer:
            run = resume(
                path, overrides=overrides, expected=expected, observer=observer, uninterrupted=interrupts.deferred
            )
    except KeyboardInterrupt:
        _say_interrupted(path)
    _show_end(run)


def dry_run_words(config: SearchConfig) -> str:
    """Return what a search would cost, in words."""
    from latency.plan import missing
    from nas.search import prepare

    prepared = prepare(config)
    budget, training = config.budget, config.proxy.training
    runs = budget.evaluations + budget.repeats
    absent = missing(prepared.rows, prepared.given_table)
    resources = config.resources
    return "\n".join(
        [
            f"{config.name}: {budget.evaluations} candidates and {budget.repeats} repeats by {config.strategy.name}",
            f"training    {training.total_tokens:,} tokens each, {runs * training.total_tokens:,} in all",
            f"text        {prepared.corpus.train.num_tokens:,} training and "
            f"{prepared.corpus.validation.num_tokens:,} validation tokens of {config.proxy.corpus}",
            f"latency     {len(prepared.rows)} rows needed, {len(absent)} to be measured on {config.latency.device} "
            f"({config.latency.workload.describe()})",
            f"resources   {resources.cpus_per_candidate:g} CPU and {resources.gpus_per_candidate:g} GPU a candidate, "
            f"executor {resources.executor}",
        ]
    )


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
