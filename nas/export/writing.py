"""One model, or a frontier of them, written by an exporter: weights, proof, card, picture, table.

The formats are the exporters'; that an output is whole or not there is `staging.py`.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.errors import UsageError
from nas.export.exporter import Exporter
from nas.export.model_card import PICTURE_FILE, model_card
from nas.export.round_trip import Proof, prove
from nas.export.spec import SCHEMA_VERSION, SPEC_FILE, spec_text
from nas.export.subjects import Source, Subject
from proxies.tokenizers import Tokenizer

if TYPE_CHECKING:
    from dashboards.frame import Results
    from operators.model import HybridLM

CARD_FILE: Final = "README.md"
TABLE_FILE: Final = "frontier.csv"

_SEED: Final = 0
_UNCHECKED: Final = Proof(difference=None, words="Not checked: left out by --no-check.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """One model that was written."""

    subject: Subject
    folder: str
    """Its folder's name."""

    proof: Proof
    emulations: tuple[str, ...]
    serve_commands: Mapping[str, str]


def require_weights(source: Source, *, random_weights: bool) -> None:
    """Refuse a format with weights for a model that has none, unless they are to be drawn.

    Raises:
        UsageError: they are not; or there are weights, and others were asked for.
    """
    for subject in source.subjects:
        if subject.checkpoint is None and not random_weights:
            raise UsageError(
                f"{subject.name} has no trained weights: a search keeps only scores. Train it with `nas train` and "
                "export the checkpoint, or try the format with --random-weights."
            )
        if subject.checkpoint is not None and random_weights:
            raise UsageError(f"{subject.checkpoint} holds weights. Leave --random-weights out.")


def write_model(place: Path, subject: Subject, exporter: Exporter, *, picture: str | None, check: bool) -> Exported:
    """Write one model into an existing empty folder.

    Raises:
        ExportError: the format cannot hold its weights, or what was written is not the model.
        CheckpointError: its checkpoint cannot be read.
    """
    model, tokenizer, weights = _loaded(subject)
    exporter.write(model, place, tokenizer=tokenizer)
    proof = prove(model, place, exporter=exporter) if check else _UNCHECKED
    provenance = {**subject.content["provenance"], "weights": weights}
    content = {**subject.content, "provenance": provenance}
    exported = Exported(
        subject=subject,
        folder=place.name,
        proof=proof,
        emulations=exporter.emulations(subject.architecture),
        serve_commands=exporter.serve_commands(shlex.quote(place.name)),
    )
    if picture is not None:
        (place / PICTURE_FILE).write_text(picture, encoding="utf-8")
    card = model_card(
        content,
        name=place.name,
        format_name=exporter.name,
        checked=proof.words,
        emulations=exported.emulations,
        serve_commands=exported.serve_commands,
        has_picture=picture is not None,
        has_tokenizer=tokenizer is not None,
        brings_code=any(place.glob("*.py")),
    )
    (place / CARD_FILE).write_text(card, encoding="utf-8")
    (place / SPEC_FILE).write_text(spec_text(content, as_json=True), encoding="utf-8")
    return exported


def write_frontier_table(
    folder: Path, subjects: Sequence[Subject], *, picture: str | None, exported: Sequence[Exported] = ()
) -> None:
    """Write the table of a frontier beside its models, as CSV and in words, with the commands that serve each."""
    import pandas as pd

    models = [{"name": subject.name, "trial": subject.trial} for subject in subjects]
    content = {"schema_version": SCHEMA_VERSION, "frontier": models}
    (folder / SPEC_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    rows = [_row(subject) for subject in subjects]
    pd.DataFrame(rows).to_csv(folder / TABLE_FILE, index=False)
    names = list(rows[0])
    lines = ["# The frontier", ""]
    if picture is not None:
        (folder / PICTURE_FILE).write_text(picture, encoding="utf-8")
        lines += [f"![The frontier of the search]({PICTURE_FILE})", ""]
    lines += [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += [f"| {' | '.join(_cell(row[name]) for name in names)} |" for row in rows]
    for one in exported:
        lines += ["", f"## [{one.folder}]({one.folder}/{CARD_FILE})", "", one.proof.words, ""]
        lines += [f"- {engine}: `{command}`" for engine, command in one.serve_commands.items()]
    (folder / CARD_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def picture_of(results: "Results | None", *, trial: int | None) -> str | None:
    """Return the frontier's picture with one trial ringed; none without the results of a run."""
    if results is None:
        return None
    from nas.export.frontier_picture import frontier_svg

    return frontier_svg(results, highlighted=trial)


def _loaded(subject: Subject) -> tuple["HybridLM", Tokenizer | None, dict[str, Any]]:
    """Return model, tokenizer, and what is said of its weights."""
    if subject.checkpoint is not None:
        from nas.winners.weights import load_model

        model, folder = load_model(subject.checkpoint)
        return model.eval(), folder.tokenizer, dict(folder.provenance)
    from operators.model import HybridLM

    return HybridLM(subject.architecture, seed=_SEED).eval(), None, {"origin": "random", "seed": _SEED}


def _row(subject: Subject) -> dict[str, Any]:
    provenance = subject.content["provenance"]
    return {
        "trial": subject.trial,
        **{name: int(value) if value.is_integer() else value for name, value in provenance["scores"].items()},
        "measured_latency_ms": provenance["measured_latency_ms"],
        "hidden_size": subject.architecture.hidden_size,
        "pattern": subject.architecture.pattern,
        "fingerprint": subject.architecture.fingerprint(),
    }


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else f"`{value}`"
