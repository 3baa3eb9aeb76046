"""`nas proxy score`: a run's candidates by raw and by projected perplexity."""

from typing import TYPE_CHECKING

import typer

from nas.cli.options import Json, RunDir

if TYPE_CHECKING:
    from nas.fidelity.ranking import Ranking


def score(directory: RunDir, as_json: Json = False) -> None:
    """Rank the candidates of a run by what longer training would give, beside what short training gave."""
    import json
    from dataclasses import asdict

    from nas.fidelity.ranking import rank
    from nas.run import Run

    ranking = rank(Run(directory))
    if as_json:
        document = asdict(ranking) | {"joining": ranking.joining, "leaving": ranking.leaving}
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(_table(ranking))
    typer.echo(f"\nProjection: {ranking.why}")
    typer.echo(f"Frontier by projection: {_change(ranking)}")


def _table(ranking: "Ranking") -> str:
    from nas.cli.text_table import text_table

    rows = [
        [
            str(one.projected_rank),
            str(one.rank),
            str(one.trial),
            f"{one.projected:.3f}",
            f"{one.perplexity:.3f}",
            f"{one.num_parameters:,}",
            _frontier(one.is_frontier, one.is_projected_frontier),
            one.pattern,
        ]
        for one in ranking.candidates
    ]
    heads = ["rank", "raw rank", "trial", "projected", "perplexity", "trained parameters", "frontier", "operators"]
    return text_table(heads, rows, right=[True] * 6 + [False, False])


def _frontier(is_raw: bool, is_projected: bool) -> str:
    match is_raw, is_projected:
        case True, True:
            return "both"
        case True, False:
            return "raw only"
        case False, True:
            return "projected only"
    return ""


def _change(ranking: "Ranking") -> str:
    changes = [
        f"{', '.join(map(str, trials))} {verb}"
        for trials, verb in ((ranking.joining, "would join"), (ranking.leaving, "would leave"))
        if trials
    ]
    return "; ".join(changes) if changes else "the same trials."
