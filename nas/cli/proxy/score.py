"""`nas proxy score`: a run's candidates by raw and by projected perplexity, and by tasks where these are asked for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import Json, RunDir
from nas.cli.task_options import ContextTokens, Limit, RunCode, Shots, TaskFolder, names_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nas.fidelity.ranking import Ranking
    from nas.winners.evaluation.candidates import CandidateTasks


def score(
    context: typer.Context,
    directory: RunDir,
    tasks: Annotated[
        str | None,
        typer.Option(
            "--tasks",
            metavar="A,B",
            help="Train candidates again and run these sets or tasks of lm-evaluation-harness; see docs/evaluation.md.",
            show_default=False,
        ),
    ] = None,
    trial: Annotated[
        str, typer.Option("--trial", metavar="N|best|knee|frontier", help="With --tasks: which candidates.")
    ] = "frontier",
    task_folder: TaskFolder = None,
    shots: Shots = None,
    limit: Limit = None,
    run_code: RunCode = False,
    context_tokens: ContextTokens = 4096,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Sequences of a task at once.")] = 1,
    as_json: Json = False,
) -> None:
    """Rank the candidates of a run by what longer training would give, beside what short training gave.

    With --tasks: candidates on downstream tasks, beside their perplexity.
    """
    import json
    from dataclasses import asdict

    if tasks is not None:
        found = _on_tasks(
            directory,
            tasks,
            trial=trial,
            task_folder=task_folder,
            num_shots=shots,
            limit=limit,
            runs_code=run_code,
            context_tokens=context_tokens,
            batch_size=batch_size,
        )
        typer.echo(
            json.dumps({"trials": [one.to_dict() for one in found]}, indent=2) if as_json else _tasks_table(found)
        )
        return
    _refuse_options_of_tasks(context)
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


def _refuse_options_of_tasks(context: typer.Context) -> None:
    """Refuse every option but --json, which alone says something of the ranking.

    Raises:
        UsageError: another one is given.
    """
    from nas.errors import UsageError

    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in {"directory", "as_json"}
        and (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(f"Without --tasks nothing is trained or asked; got {', '.join(given)}. Add --tasks A,B.")


def _on_tasks(
    directory: Path,
    tasks: str,
    *,
    trial: str,
    task_folder: Path | None,
    num_shots: int | None,
    limit: int | None,
    runs_code: bool,
    context_tokens: int,
    batch_size: int,
) -> "list[CandidateTasks]":
    from nas.cli.counted_progress import tell
    from nas.run import Run
    from nas.trial_choice import choose_trials
    from nas.winners.evaluation.task_names import asked_tasks, folders_of

    names = names_in(tasks)
    # Before anything is trained.
    folders_of([task.name for task in asked_tasks(names)], own=task_folder)
    run = Run(directory)
    records = choose_trials(run.study.history(), trial)
    from nas.winners.evaluation.candidates import score_candidates

    found = score_candidates(
        run,
        records,
        names,
        task_folder=task_folder,
        num_shots=num_shots,
        limit=limit,
        batch_size=batch_size,
        context_tokens=context_tokens,
        runs_code=runs_code,
        report=tell,
    )
    for one in found:
        if one.trained_perplexity != one.perplexity:
            typer.echo(
                f"note: trial {one.trial} has perplexity {one.trained_perplexity:.4f} trained again, "
                f"{one.perplexity:.4f} in the search.",
                err=True,
            )
    typer.echo(f"Kept: model and tasks.json of each in {run.directory.path / 'trials'}", err=True)
    return found


def _tasks_table(found: "Sequence[CandidateTasks]") -> str:
    from nas.cli.task_table import figure
    from nas.cli.text_table import text_table
    from nas.winners.evaluation.harness import averages

    tasks = [score.task for score in found[0].scores]
    sets = list(averages(found[0].scores))
    rows = [
        [
            str(one.trial),
            f"{one.perplexity:.3f}",
            *(figure(score.value) for score in one.scores),
            *(figure(value) for value in averages(one.scores).values()),
            one.pattern,
        ]
        for one in sorted(found, key=lambda one: one.perplexity)
    ]
    heads = ["trial", "perplexity", *tasks, *(f"mean of {name}" for name in sets), "operators"]
    return text_table(heads, rows, right=[True] * (len(heads) - 1) + [False])


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
