"""`nas proxy probe`: what an architecture learns of recall and reasoning tasks in small training runs."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nas.cli.options import Json

if TYPE_CHECKING:
    from proxies.probes.result import ProbeResult, SuiteResult
    from proxies.probes.suite import ProbeSuite
    from search_spaces.architecture import Architecture


def probe(
    arch: Annotated[
        str, typer.Argument(metavar="ARCH", help="A reference, a spec file or a pattern.", show_default=False)
    ],
    tasks: Annotated[
        str | None, typer.Option("--tasks", metavar="A,B", help="Tasks by name; all of them if left out.")
    ] = None,
    difficulty: Annotated[
        Literal["tiny", "small", "full"], typer.Option("--difficulty", help="small for a CPU, full for a GPU.")
    ] = "small",
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of every task, each under another seed.")] = 1,
    hidden_size: Annotated[
        int | None, typer.Option("--hidden-size", min=1, help="Width, where ARCH is a pattern.")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to train.")] = "auto",
    num_threads: Annotated[int, typer.Option("--num-threads", min=1, help="CPU threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Train ARCH from scratch on tasks of recall, copying and memory and print how well it answers."""
    import json

    from nas.architectures import load_architecture
    from proxies.probes.difficulties import TASK_NAMES, make_suite
    from proxies.settings import TrainingSettings

    # Every task has a vocabulary of its own.
    architecture = load_architecture(arch, hidden_size=hidden_size)
    names = TASK_NAMES if tasks is None else tuple(name.strip() for name in tasks.split(","))
    suite = make_suite(difficulty, tasks=names).on(TrainingSettings(device=device, num_threads=num_threads))
    results = [_probe_all(suite, architecture, seed=seed) for seed in range(seeds)]
    if as_json:
        typer.echo(json.dumps(_document(architecture, difficulty, results), indent=2))
    else:
        typer.echo(f"{architecture.pattern}, width {architecture.hidden_size}, difficulty {difficulty}")
        typer.echo(_table(results))
        errors = [result.recall_error for result in results if result.recall_error is not None]
        if errors:
            typer.echo(f"\nRecall error {_spread(errors)}: 0 answers everything, 1 is chance")
    failed = [result.unfinished for result in results if result.unfinished is not None]
    if failed:
        name, why = failed[0]
        typer.echo(f"error: The probe {name} gave no score, {why.status}: {why.message}", err=True)
        raise typer.Exit(1)


def _probe_all(suite: "ProbeSuite", architecture: "Architecture", *, seed: int) -> "SuiteResult":
    from sys import stderr

    is_terminal = stderr.isatty()

    def report(name: str, done: int, total: int, loss: float) -> None:
        if is_terminal:
            typer.echo(f"\r\x1b[Kseed {seed}  {name}  step {done}/{total}  loss {loss:.3f}", nl=False, err=True)

    result = suite.evaluate(architecture, seed=seed, report=report)
    if is_terminal:
        typer.echo("\r\x1b[K", nl=False, err=True)
    return result


def _table(results: "list[SuiteResult]") -> str:
    from nas.cli.text_table import text_table

    rows = []
    for name in results[0].probes:
        probes = [result.probes[name] for result in results if name in result.probes]
        finished = [probe for probe in probes if probe.status == "finished"]
        chance = f"{finished[0].answers[0].chance:.1%}" if finished else ""
        seconds = sum(probe.seconds for probe in probes)
        score = _spread([probe.score for probe in finished if probe.score is not None])
        rows.append([name, score, _accuracies(finished), chance, str(probes[0].steps), f"{seconds:.1f}"])
    heads = ["task", "score", "accuracy", "chance", "steps", "seconds"]
    return text_table(heads, rows, right=[False, True, True, True, True, True])


def _accuracies(probes: "list[ProbeResult]") -> str:
    """Return the mean accuracy at every length, the one trained on first."""
    from statistics import fmean

    if not probes:
        return ""
    lengths = [answer.num_tokens for answer in probes[0].answers]
    means = [fmean(probe.answers[place].accuracy for probe in probes) for place in range(len(lengths))]
    if len(means) == 1:
        return f"{means[0]:.1%}"
    return ", ".join(f"{mean:.1%} at {length}" for mean, length in zip(means, lengths, strict=True))


def _spread(values: list[float]) -> str:
    from statistics import fmean, stdev

    if not values:
        return "none"
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def _document(architecture: "Architecture", difficulty: str, results: "list[SuiteResult]") -> dict[str, object]:
    return {
        "pattern": architecture.pattern,
        "hidden_size": architecture.hidden_size,
        "difficulty": difficulty,
        "seeds": [
            {
                "seed": seed,
                "recall_error": result.recall_error,
                "probes": {
                    name: {**probe.to_dict(), "accuracy": probe.accuracy, "score": probe.score}
                    for name, probe in result.probes.items()
                },
            }
            for seed, result in enumerate(results)
        ],
    }
