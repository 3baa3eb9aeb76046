"""`nas latency verify`: time the frontier models of a run whole."""

import typer

from nas.cli.options import RunDir


def verify(directory: RunDir) -> None:
    """Time the models of the frontier whole on the run's device, those not timed yet, and show both figures."""
    from nas.cli.frontier_table import frontier_table
    from nas.run import Run
    from nas.verification import device_obstacle
    from nas.verification import verify as verify_frontier
    from search_spaces.errors import UnavailableError

    run = Run(directory)
    obstacle = device_obstacle(run.table(), run.config)
    if obstacle is not None:
        raise UnavailableError(f"The frontier can be timed only on the device of its table: {obstacle}.")

    def report(done: int, total: int, words: str) -> None:
        typer.echo(f"{done}/{total} {words}", err=True)

    with run.directory.lock:
        verify_frontier(run.study.history().frontier(), directory=run.directory, config=run.config, report=report)
    typer.echo(frontier_table(run))
