"""What a user means by DIR, CKPT or ARCH: the models that are to leave, and where each comes from. Without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from nas.architectures import load_architecture
from nas.environment import PACKAGES, installed_version
from nas.errors import UsageError
from nas.export.spec import document, spec_document
from nas.run import Run
from nas.trial_choice import choose_trials
from nas.winners.model_folder import CHECKPOINTS, MODEL_FILE, read_model_folder
from search_spaces import Architecture
from search_spaces.yaml_reading import read_yaml

FOREIGN_CONFIG_FILE: Final = "config.json"
"""Stands in folders that transformers reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model on its way out."""

    name: str
    architecture: Architecture
    content: Mapping[str, Any]
    """The document of `spec.py`."""

    trial: int | None = None
    checkpoint: Path | None = None
    """The folder with its weights; none where nobody trained it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """All that leave at once."""

    subjects: tuple[Subject, ...]
    run: Run | None = None
    """The run they are of; none for a checkpoint or an architecture."""


def read_source(
    where: str,
    *,
    trial: str | None,
    search: Path | None = None,
    hidden_size: int | None = None,
    vocab_size: int | None = None,
) -> Source:
    """Return the models that a user names.

    Args:
        where: a run directory, a checkpoint or a training's folder, or an architecture.
        trial: of a run, see `choose_trials`; none means `best`, and goes with everything.
        search: run directory of the search that found a checkpoint's architecture, which adds what it knows.
        hidden_size: width of a pattern.
        vocab_size: vocabulary of a pattern.

    Raises:
        RunDirectoryError: a folder that is none of these.
        CheckpointError: a checkpoint that is not whole.
        UsageError: no such trial or one that was not scored, `trial` for something that has none, or a `search` that
            did not find the checkpoint's architecture.
        SpecError: an architecture that breaks a rule.
    """
    path = Path(where)
    if search is not None and not _is_checkpoint(path):
        raise UsageError(f"--search says which search found a checkpoint; {where} is no checkpoint. Leave it out.")
    if (path / FOREIGN_CONFIG_FILE).is_file() and not _is_checkpoint(path):
        raise UsageError(
            f"{where} is a published model's folder. Make it a checkpoint first: nas import {where} -o CKPT"
        )
    if is_run(path):
        return _of_run(Run(path), trial or "best")
    if trial is not None:
        raise UsageError(f"--trial chooses among the trials of a run; {where} is one model. Leave it out.")
    if not _is_checkpoint(path):
        return Source(subjects=(_of_architecture(where, hidden_size=hidden_size, vocab_size=vocab_size),))
    run = None if search is None else Run(search)
    return Source(subjects=(_of_checkpoint(path, run),), run=run)


def is_run(path: Path) -> bool:
    """Return whether a path is meant as a run directory: a folder that is no checkpoint."""
    return path.is_dir() and not _is_checkpoint(path)


def _is_checkpoint(path: Path) -> bool:
    return (path / MODEL_FILE).is_file() or (path / CHECKPOINTS).is_dir()


def _of_run(run: Run, trial: str) -> Source:
    records = choose_trials(run.study.history(), trial)
    unscored = [record.number for record in records if record.failure is not None]
    if unscored:
        raise UsageError(f"Only a trial that was scored can be exported; trial {unscored[0]} failed.")
    subjects = (
        Subject(
            name=f"trial-{record.number}",
            architecture=Architecture.from_dict(record.candidate.description["target"]),
            content=spec_document(run, record),
            trial=record.number,
        )
        for record in records
    )
    return Source(subjects=tuple(subjects), run=run)


def _of_checkpoint(path: Path, run: Run | None) -> Subject:
    found = read_model_folder(path)
    provenance, trial = _made_here(), None
    if run is not None:
        origin = found.provenance.get("architecture_from", {})
        records = {(record.number, record.candidate.fingerprint): record for record in run.study.history()}
        record = records.get((origin.get("trial"), origin.get("fingerprint")))
        if record is None:
            known = (
                f"comes from trial {origin['trial']} of {origin.get('search')!r}"
                if "trial" in origin
                else "names no trial"
            )
            raise UsageError(
                f"{run.directory.path} did not find this architecture: {path} {known}. "
                "Name the run that did, or leave --search out."
            )
        trial = record.number
        provenance = spec_document(run, run.study.history().ranked(record))["provenance"]
    return Subject(
        name=path.absolute().name,
        architecture=found.architecture,
        content=document(found.architecture, {**provenance, "weights": dict(found.provenance)}),
        trial=trial,
        checkpoint=found.folder,
    )


def _of_architecture(name: str, *, hidden_size: int | None, vocab_size: int | None) -> Subject:
    architecture = load_architecture(name, hidden_size=hidden_size, vocab_size=vocab_size)
    is_file = Path(name).is_file()
    return Subject(
        name=Path(name).stem if is_file else f"model-{architecture.fingerprint()}" if " " in name else name,
        architecture=architecture,
        content=document(architecture, _recorded(Path(name), architecture) if is_file else _written(name)),
    )


def _recorded(file: Path, architecture: Architecture) -> dict[str, Any]:
    """Return what an exported specification says of its architecture; not of one that was changed since."""
    provenance = read_yaml(file.read_text(encoding="utf-8"), where=str(file)).get("provenance")
    if isinstance(provenance, dict) and provenance.get("fingerprint") == architecture.fingerprint():
        return provenance
    return _written(str(file))


def _written(source: str) -> dict[str, Any]:
    return {"architecture_source": source, **_made_here()}


def _made_here() -> dict[str, Any]:
    packages = {name: found for name in PACKAGES if (found := installed_version(name)) is not None}
    return {"packages": packages, "date": datetime.now(UTC).isoformat(timespec="seconds")}
