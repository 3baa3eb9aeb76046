"""`nas train`: train a winner, or any architecture, by a recipe; go on after any interruption."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nas.cli.latency.options import HiddenSize
from nas.cli.options import Json, Overrides

if TYPE_CHECKING:
    from nas.winners.recipe import Recipe
    from nas.winners.training import TrainingEnd
    from search_spaces import Architecture


def train(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="ARCH|DIR",
            help="A reference, a spec file, a pattern, or the run directory of a search; may be left out on --resume.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="New folder for everything it leaves; DIR/training/trial-N for a trial if left out.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", metavar="NAME|FILE", help="How to train: a recipe that ships, or a file."),
    ] = None,
    overrides: Overrides = None,
    trial: Annotated[
        str | None, typer.Option("--trial", metavar="N|best|knee", help="Which trial of DIR; best if left out.")
    ] = None,
    proxy_scale: Annotated[
        bool, typer.Option("--proxy-scale", help="Train the trial as the search did, not the target it stands for.")
    ] = False,
    hidden_size: HiddenSize = None,
    vocab_size: Annotated[
        int | None, typer.Option("--vocab-size", min=1, help="Vocabulary; of a pattern that of the text if left out.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with OUT if a training was begun there, else begin.")
    ] = False,
    executor: Annotated[
        Literal["processes", "ray"],
        typer.Option("--executor", help="What starts parallel.processes: this machine, or Ray Train."),
    ] = "processes",
    address: Annotated[
        str, typer.Option("--address", metavar="local|auto|HOST:PORT", help="Ray cluster, with --executor ray.")
    ] = "local",
    as_json: Json = False,
) -> None:
    """Train an architecture from scratch, on one device or several."""
    from nas.cli.searching import INTERRUPTED_EXIT_CODE
    from nas.cli.training_progress import make_observer
    from nas.errors import UsageError
    from nas.winners.start import is_first
    from nas.winners.start import train as run
    from nas.winners.training import TrainingRequest
    from nas.winners.training_directory import TrainingDirectory

    output = output or _usual_output(source, trial)
    directory = TrainingDirectory(output)
    is_continued = resume and directory.is_begun
    if resume and not is_continued and (source is None or recipe is None):
        raise UsageError(
            f"There is no training in {output} to go on with. Check --output; to begin one, name what to train and its "
            "--recipe."
        )
    chosen = _recipe(recipe, directory if is_continued else None, overrides=overrides or [])
    if source is None and not is_continued:
        raise UsageError(
            "Name what to train: a reference, a spec file, a pattern with --hidden-size, or a run directory."
        )
    provenance: dict[str, Any] = {}
    if source is None:
        architecture = directory.read_architecture()
    else:
        architecture, provenance = _architecture(
            source,
            chosen,
            trial=trial,
            proxy_scale=proxy_scale,
            hidden_size=hidden_size,
            vocab_size=vocab_size,
        )
    request = TrainingRequest(
        architecture=architecture, recipe=chosen, output=output, resume=resume, provenance=provenance
    )
    try:
        with make_observer() as observer:
            end = run(request, observer=observer, executor=executor, address=address)
    except KeyboardInterrupt:
        if directory.is_begun:
            typer.echo(f"Interrupted. What was done is kept; continue with: nas train --resume -o {output}", err=True)
        else:
            typer.echo("Interrupted before the training began; nothing was written.", err=True)
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from None
    if is_first():
        _show(end, as_json=as_json)


def _usual_output(source: str | None, trial: str | None) -> Path:
    """Return where a trial of a run is trained, so that the run's report shows it."""
    from nas.errors import UsageError
    from nas.run import Run
    from nas.run_directory import RunDirectory
    from nas.trial_choice import choose_trials
    from nas.winners.training_directory import TRAININGS

    if source is None or not RunDirectory(Path(source)).config.is_file():
        raise UsageError("A training needs a folder for its results. Add --output OUT.")
    if trial == "frontier":
        raise UsageError("A training is of one architecture: --trial takes a number, best or knee.")
    record = choose_trials(Run(Path(source)).study.history(), trial or "best")[0]
    return Path(source) / TRAININGS / f"trial-{record.number}"


def _recipe(name: str | None, directory: Any, *, overrides: list[str]) -> "Recipe":
    """Return the recipe asked for, or that of the training that is continued, with what is overridden."""
    from nas.errors import UsageError
    from nas.winners.recipe import load_recipe, read_recipe, recipe_names

    if name is not None:
        return load_recipe(name, overrides=overrides).resolved()
    if directory is None:
        raise UsageError(f"Say how to train: --recipe NAME|FILE. These ship: {', '.join(recipe_names())}.")
    return read_recipe(directory.recipe_text(), where=str(directory.recipe), overrides=overrides).resolved()


def _architecture(
    source: str,
    recipe: "Recipe",
    *,
    trial: str | None,
    proxy_scale: bool,
    hidden_size: int | None,
    vocab_size: int | None,
) -> "tuple[Architecture, dict[str, Any]]":
    """Return what is trained and where it comes from."""
    from dataclasses import replace

    from nas.architectures import load_architecture
    from nas.errors import UsageError
    from nas.run_directory import RunDirectory
    from search_spaces.references import reference_names

    if RunDirectory(Path(source)).config.is_file():
        if hidden_size is not None:
            raise UsageError("--hidden-size goes with a pattern; a trial has its own width.")
        return _of_trial(Path(source), trial or "best", proxy_scale=proxy_scale, vocab_size=vocab_size)
    if trial is not None or proxy_scale:
        raise UsageError(f"--trial and --proxy-scale go with the run directory of a search; {source!r} is none.")
    provenance = {"source": source}
    if source in reference_names() or Path(source).is_file():
        architecture = load_architecture(source, hidden_size=hidden_size)
        return architecture if vocab_size is None else replace(architecture, vocab_size=vocab_size), provenance
    if vocab_size is None and hidden_size is not None:
        # A pattern says nothing of a vocabulary: it gets that of the text.
        vocab_size = _vocab_size(recipe)
    return load_architecture(source, hidden_size=hidden_size, vocab_size=vocab_size), provenance


def _vocab_size(recipe: "Recipe") -> int:
    from nas.winners.recipe import usual_tokenizer
    from proxies.shards import open_shards
    from proxies.sources import TOKENS
    from proxies.tokenizers import load_tokenizer

    name = usual_tokenizer(recipe)
    if name is not None:
        return load_tokenizer(name).vocab_size
    return int(open_shards(Path(recipe.sources[0].removeprefix(TOKENS))).manifest.tokenizer["vocab_size"])


def _of_trial(
    path: Path, trial: str, *, proxy_scale: bool, vocab_size: int | None
) -> "tuple[Architecture, dict[str, Any]]":
    from dataclasses import replace

    from nas.errors import UsageError
    from nas.run import Run
    from nas.trial_choice import choose_trials
    from search_spaces import Architecture

    if trial == "frontier":
        raise UsageError("A training is of one architecture: --trial takes a number, best or knee.")
    run = Run(path)
    record = choose_trials(run.study.history(), trial)[0]
    architecture = Architecture.from_dict(record.candidate.description["target"])
    if proxy_scale:
        from proxies.scale import proxy_scale as scaled

        tokenizer = run.environment()["corpus"]["tokenizer"]
        architecture = scaled(
            architecture, vocab_size=tokenizer["vocab_size"], width_fraction=run.config.proxy.width_fraction
        )
    if vocab_size is not None:
        architecture = replace(architecture, vocab_size=vocab_size)
    return architecture, {
        "search": run.config.name,
        "trial": record.number,
        "fingerprint": record.candidate.fingerprint,
        "scale": "proxy" if proxy_scale else "target",
        "scores": dict(record.objectives),
    }


def _show(end: "TrainingEnd", *, as_json: bool) -> None:
    import json

    found = end.validation
    scores = (
        {}
        if found is None
        else {"validation_loss": found.loss, "perplexity": found.perplexity, "bits_per_byte": found.bits_per_byte}
    )
    if as_json:
        document = {
            "status": end.status,
            "step": end.step,
            "tokens": end.tokens,
            "seconds": end.seconds,
            "checkpoint": str(end.checkpoint),
            **scores,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    for name, value in scores.items():
        typer.echo(f"{name:<16} {value:.4f}")
    typer.echo(f"{'checkpoint':<16} {end.checkpoint}")
