"""`nas export`: winners leave the run, as documents, tables, or models that other engines load."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Json

if TYPE_CHECKING:
    from nas.export.exporter import Exporter
    from nas.export.subjects import Source
    from nas.export.writing import Exported


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR|CKPT|ARCH",
            help="A run directory, a checkpoint, or an architecture: a reference, a spec file, a pattern.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="OUT", help="A file for a document, a folder for models or a frontier."),
    ],
    trial: Annotated[
        str | None,
        typer.Option("--trial", metavar="N|best|knee|frontier", help="Which trials of a run leave; best by default."),
    ] = None,
    format_name: Annotated[
        str,
        typer.Option("--format", metavar="spec|csv|parquet|hf|…", help="In which format; see docs/export.md."),
    ] = "spec",
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="Draw the weights of a model that nobody trained; its card says so."),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Read the model back with transformers and compare its logits.")
    ] = True,
    search: Annotated[
        Path | None,
        typer.Option("--search", metavar="DIR", help="Run that found a checkpoint: its figures go on the card."),
    ] = None,
    hidden_size: Annotated[int | None, typer.Option("--hidden-size", min=1, help="Width of a pattern.")] = None,
    vocab_size: Annotated[int | None, typer.Option("--vocab-size", min=1, help="Vocabulary of a pattern.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier export wrote there.")] = False,
    as_json: Json = False,
) -> None:
    """Export architectures, whole studies, or models for other engines, with their provenance."""
    from nas.errors import UsageError
    from nas.export.exporter import exporters
    from nas.export.subjects import is_run, read_source
    from nas.export.table import TABLE_FORMATS
    from search_spaces.errors import near_miss

    with_weights = exporters()
    known = ("spec", *TABLE_FORMATS, *with_weights)
    if format_name not in known:
        raise UsageError(f"Unknown export format {format_name!r}.{near_miss(format_name, known)}")
    if random_weights and format_name not in with_weights:
        raise UsageError(f"The format {format_name} holds no weights. Leave --random-weights out.")
    if format_name in TABLE_FORMATS:
        if trial is not None or search is not None or not is_run(Path(source)):
            raise UsageError(f"The format {format_name} holds whole studies: name a run directory, without --trial.")
        _say(_write_table(Path(source), output, format_name=format_name, force=force), as_json=as_json)
        return
    found = read_source(source, trial=trial, search=search, hidden_size=hidden_size, vocab_size=vocab_size)
    if format_name == "spec":
        written = _write_specs(found, output, is_frontier=trial == "frontier", force=force)
    else:
        written = _write_models(
            found,
            output,
            with_weights[format_name],
            is_frontier=trial == "frontier",
            options={"force": force, "random_weights": random_weights, "check": check},
        )
    _say(written, as_json=as_json)


def _say(written: list[dict[str, Any]], *, as_json: bool) -> None:
    import json

    if as_json:
        typer.echo(json.dumps(written, indent=2))
        return
    for entry in written:
        typer.echo(entry["path"])


def _write_table(directory: Path, output: Path, *, format_name: str, force: bool) -> list[dict[str, Any]]:
    from nas.export.staging import require_free, staged
    from nas.export.table import write_table
    from nas.run import Run

    run = Run(directory)
    require_free(output, force=force, is_folder=False)
    with staged(output, is_folder=False) as place:
        write_table(run, place, format_name=format_name)
    return [{"path": str(output), "format": format_name}]


def _write_specs(source: "Source", output: Path, *, is_frontier: bool, force: bool) -> list[dict[str, Any]]:
    from nas.export.spec import spec_text
    from nas.export.staging import require_free, staged
    from nas.export.writing import picture_of, write_frontier_table

    require_free(output, force=force, is_folder=is_frontier)
    with staged(output, is_folder=is_frontier) as place:
        if not is_frontier:
            text = spec_text(source.subjects[0].content, as_json=output.suffix == ".json")
            place.write_text(text, encoding="utf-8")
            return [{"path": str(output), "trial": source.subjects[0].trial, "format": "spec"}]
        for subject in source.subjects:
            file = place / f"{subject.name}.yaml"
            file.write_text(spec_text(subject.content, as_json=False), encoding="utf-8")
        results = None if source.run is None else source.run.results()
        write_frontier_table(place, source.subjects, picture=picture_of(results, trial=None))
    return [
        {"path": str(output / f"{subject.name}.yaml"), "trial": subject.trial, "format": "spec"}
        for subject in source.subjects
    ]


def _write_models(
    source: "Source", output: Path, exporter: "Exporter", *, is_frontier: bool, options: dict[str, bool]
) -> list[dict[str, Any]]:
    from nas.export.exporter import require_all_expressible
    from nas.export.staging import require_free, staged
    from nas.export.writing import picture_of, require_weights, write_frontier_table, write_model

    require_weights(source, random_weights=options["random_weights"])
    require_all_expressible(exporter, {subject.name: subject.architecture for subject in source.subjects})
    require_free(output, force=options["force"], is_folder=True)
    written = []
    results = None if source.run is None else source.run.results()
    with staged(output, is_folder=True) as place:
        for subject in source.subjects:
            folder = place / subject.name if is_frontier else place
            folder.mkdir(exist_ok=True)
            picture = picture_of(results, trial=subject.trial)
            written.append(write_model(folder, subject, exporter, picture=picture, check=options["check"]))
            typer.echo(f"{subject.name}: {written[-1].proof.words}", err=True)
        if is_frontier:
            picture = picture_of(results, trial=None)
            write_frontier_table(place, source.subjects, picture=picture, exported=written)
    for one in written:
        for words in one.emulations:
            typer.echo(f"{one.subject.name}: {words}", err=True)
    return [_entry(one, output / one.folder if is_frontier else output, exporter) for one in written]


def _entry(one: "Exported", path: Path, exporter: "Exporter") -> dict[str, Any]:
    import shlex

    return {
        "path": str(path),
        "trial": one.subject.trial,
        "format": exporter.name,
        "difference": one.proof.difference,
        "checked": one.proof.words,
        "emulations": list(one.emulations),
        "serve_commands": exporter.serve_commands(shlex.quote(str(path))),
    }
