"""`nas proxy fidelity`: train some of a run's candidates longer and say how the scores of the run hold."""

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from nas.cli.options import Address, ExecutorName, Json, Overrides, RunDir, with_resources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nas.candidates import History
    from nas.fidelity.plan import FidelityPlan
    from nas.fidelity.report import FidelityReport
    from nas.fidelity.training import Training
    from nas.run import Run
    from proxies.fidelity import Agreement


def fidelity(
    directory: RunDir,
    candidates: Annotated[
        int | None,
        typer.Option("--candidates", min=5, help="How many to train; as before, or 24.", show_default=False),
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(
            "--times",
            metavar="4,10",
            help="Lengths as multiples of the run's; below 1 to find a cheaper one. As before, or 0.25,0.5,1,4,10.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", min=1, help="Trainings of each candidate at each length; as before, or 2."),
    ] = None,
    overrides: Overrides = None,
    executor: ExecutorName = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Train candidates of a run longer and say how well its scores rank them; continued exactly when called again."""
    import json

    from nas.fidelity.files import FOLDER, JOURNAL, REPORT
    from nas.fidelity.plan import FidelityPlan, make_plan
    from nas.run import Run

    run = Run(directory)
    folder = run.directory.path / FOLDER
    plan = make_plan(
        run.study.history(),
        seed=run.config.seed,
        before=FidelityPlan.load(folder),
        num_candidates=candidates,
        times=_lengths(times),
        num_seeds=seeds,
    )
    trainings = _train(run, plan, overrides=with_resources(overrides, executor=executor, address=address))
    from dashboards.report import write_report
    from nas.fidelity.report import report_of

    report = report_of(run.config, run.study.history(), plan, trainings)
    report.save(run.directory.path)
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else _in_words(report))
    if run.state != "running":
        write_report(run.results(), run.directory.report)
    for caveat in report.caveats:
        typer.echo(f"note: {caveat}", err=True)
    typer.echo(f"Kept: {run.directory.path / REPORT}, trainings in {folder / JOURNAL}", err=True)
    typer.echo(f"Rank the run by it: nas proxy score {directory}", err=True)


def _lengths(text: str | None) -> list[float]:
    from nas.errors import UsageError

    try:
        return [] if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--times takes numbers as 0.5,4,10; got {text!r}.") from None


def _train(run: "Run", plan: "FidelityPlan", *, overrides: tuple[str, ...]) -> "History[Training]":
    from nas.cli.progress import make_observer
    from nas.fidelity.trainings import train
    from nas.interrupt import Interrupts

    interrupts = Interrupts()
    try:
        with interrupts.handled(), make_observer() as observer:
            return train(run, plan, overrides=overrides, observer=observer, uninterrupted=interrupts.deferred)
    except KeyboardInterrupt:
        _say_interrupted(run.directory.path)
    except (Exception, SystemExit) as error:
        if not interrupts.were_received:
            raise
        # What broke on the way out of an interrupt, a cluster that ended under it for one, is no failure.
        typer.echo(f"While stopping: {type(error).__name__}: {error}", err=True)
        _say_interrupted(run.directory.path)


def _say_interrupted(path: "Path") -> NoReturn:
    from nas.cli.searching import INTERRUPTED_EXIT_CODE

    typer.echo(f"Interrupted. Nothing that finished is lost; continue with: nas proxy fidelity {path}", err=True)
    raise typer.Exit(INTERRUPTED_EXIT_CODE)


def _in_words(report: "FidelityReport") -> str:
    from nas.fidelity.words import findings

    parts = []
    for comparison in report.comparisons:
        parts += [
            f"Against training {comparison.times:g} times as long, {len(comparison.trials)} candidates:",
            _table(comparison.scores),
        ]
        if comparison.equally_large:
            num = next(iter(comparison.equally_large.values())).num_candidates
            parts += [f"The same, {num} candidates of one size (±10 % parameters):", _table(comparison.equally_large)]
    return "\n\n".join([*parts, "\n".join(findings(report))])


def _table(scores: "Mapping[str, Agreement]") -> str:
    from nas.cli.text_table import text_table
    from nas.fidelity.words import score_label

    rows = [
        [
            score_label(name),
            str(agreement.spearman),
            str(agreement.kendall),
            "yes" if agreement.has_best_in_top_k else "no",
            f"{100 * agreement.regret:.1f} %",
            str(agreement.num_candidates),
        ]
        for name, agreement in scores.items()
    ]
    heads = ["score", "Spearman [90 %]", "Kendall [90 %]", "best in first 3", "regret", "candidates"]
    return text_table(heads, rows, right=[False, True, True, True, True, True])
