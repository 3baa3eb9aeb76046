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
    from nas.fidelity.ranked_by import ranked_by
    from nas.run import Run

    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other; give one.")
    run = Run(directory)
    if not (as_json or as_csv):
        typer.echo(frontier_table(run))
        ranking = ranked_by(run.directory.path)
        typer.echo(f"Ranked by {ranking['score']}: {ranking['why']}.", err=True)
        return
    frontier = run.study.history().frontier()
    measured_ms = run.measured_ms()
    if as_json:
        rows = [
            {
                "trial": record.number,
                **record.objectives,
                "num_evaluations": record.num_evaluations,
                "deviation": record.deviation,
                "measured_latency_ms": measured_ms.get(record.candidate.fingerprint),
                "architecture": record.candidate.description["target"],
            }
            for record in frontier
        ]
        # A row a line: a frontier of hundreds is written in a tenth of the time that indenting it takes.
        typer.echo("[" + ",\n".join(json.dumps(row) for row in rows) + "]")
        return
    frame = run.results().trials
    members = frame[frame["is_frontier"]].sort_values("latency_ms")
    typer.echo(members.drop(columns=["curve", "is_frontier"]).to_csv(index=False), nl=False)
