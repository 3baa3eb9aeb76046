"""`nas pareto`: the frontier, fastest first."""

from typing import Annotated

import typer

from nas.cli.options import Json, RunDir


def pareto(
    directory: RunDir,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the frontier's rows as CSV.")] = False,
) -> None:
    """Print the frontier of perplexity and latency."""
    import json

    from nas.cli.frontier_table import frontier_table
    from nas.errors import UsageError
    from nas.run import Run

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other; give one.")
    run = Run(directory)
    if not (as_json or as_csv):
        typer.echo(frontier_table(run))
        return
    frontier = run.study.history().frontier()
    measured_ms = run.measured_ms()
    if as_json:
        rows = [
            {
                "trial": record.number,
                **record.objectives,
                "measured_latency_ms": measured_ms.get(record.candidate.fingerprint),
                "architecture": record.candidate.description["target"],
            }
            for record in frontier
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    frame = run.results().trials
    members = frame[frame["is_frontier"]].sort_values("latency_ms")
    typer.echo(members.drop(columns=["curve", "is_frontier"]).to_csv(index=False), nl=False)
