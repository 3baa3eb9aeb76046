"""The folder of one training: what lies where, and who may write.

recipe.yaml        resolved recipe                 log.jsonl          a line every few steps
architecture.yaml  what is trained                 checkpoints/       `checkpoint_files.py`
environment.json   versions, machine, texts
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final

import yaml

from nas.errors import CheckpointError, RunDirectoryError
from nas.file_lock import FileLock
from nas.run_directory import LOCK_NAME, write_atomically
from nas.winners.checkpoint_files import checkpoint_steps, has_damaged
from nas.winners.model_folder import CHECKPOINTS
from nas.winners.recipe import Recipe, read_recipe
from nas.winners.tracking.log_file import LOG_FILE
from search_spaces import Architecture
from search_spaces.yaml_reading import read_yaml

TRAININGS: Final = "training"
"""Folder of a run directory in which its trials are trained at full length, each in one of its own."""


class TrainingDirectory:
    """Paths inside a training's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.architecture = path / "architecture.yaml"
        self.environment = path / "environment.json"
        self.log = path / LOG_FILE
        self.checkpoints = path / CHECKPOINTS

    @property
    def lock(self) -> FileLock:
        """What keeps other writers out."""
        return FileLock(self.path / LOCK_NAME, holds=self.path, writer="training")

    @property
    def is_begun(self) -> bool:
        """Whether a training was started here."""
        return self.recipe.is_file()

    @property
    def has_anything(self) -> bool:
        """Whether a step of a training left something here."""
        is_logged = self.log.is_file() and self.log.stat().st_size > 0
        return is_logged or bool(checkpoint_steps(self.checkpoints)) or has_damaged(self.checkpoints)

    def clear(self) -> None:
        """Remove what a training that never took a step has written."""
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK_NAME:
                entry.unlink()

    def create(self) -> None:
        """Make the folder.

        Raises:
            RunDirectoryError: something is there already, or the place cannot be written to.
        """
        if self.path.exists() and (not self.path.is_dir() or any(x.name != LOCK_NAME for x in self.path.iterdir())):
            remedy = "Continue that training with --resume, or choose" if self.is_begun else "Choose"
            raise RunDirectoryError(
                f"The folder of a training must be new or empty; {self.path} is not. {remedy} another --output."
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirectoryError(
                f"The folder {self.path} cannot be made: {error.strerror}. Choose another --output."
            ) from error

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the recipe; a folder with one holds a training."""
        _write(self.recipe, recipe.to_yaml())

    def read_recipe(self) -> Recipe:
        """Return the recipe of the training begun here.

        Raises:
            ConfigError: this version cannot read it.
            RunDirectoryError: the file is damaged.
        """
        return read_recipe(self.recipe_text(), where=str(self.recipe))

    def recipe_text(self) -> str:
        """Return the recipe as it was written.

        Raises:
            RunDirectoryError: the file is damaged.
        """
        return _text(self.recipe)

    def write_architecture(self, architecture: Architecture, *, provenance: dict[str, Any]) -> None:
        """Write a spec file, which every ARCH argument reads."""
        content = {"architecture": architecture.to_dict(), "provenance": provenance}
        _write(self.architecture, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))

    def read_architecture(self) -> Architecture:
        """Return what is trained here.

        Raises:
            RunDirectoryError: the file is missing or damaged.
            SpecError: it says no architecture.
        """
        content = read_yaml(_text(self.architecture), where=str(self.architecture))
        if "architecture" not in content:
            raise _unreadable(self.architecture, "it has no 'architecture'")
        return Architecture.from_dict(content["architecture"])

    def write_environment(self, content: dict[str, Any]) -> None:
        """Write what the training is made with."""
        _write(self.environment, json.dumps(content, indent=2) + "\n")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is no text") from error


def _write(path: Path, text: str) -> None:
    """Write a file at once.

    Raises:
        RunDirectoryError: it cannot be written, as on a full disk.
    """
    try:
        write_atomically(path, text)
    except OSError as error:
        raise RunDirectoryError(
            f"{path} cannot be written: {error.strerror or error}. Free space, or choose another --output."
        ) from error


def _unreadable(path: Path, cause: str) -> RunDirectoryError:
    return RunDirectoryError(f"{path} cannot be read: {cause}. Restore it, or begin anew with another --output.")


def check_same_architecture(there: Architecture, asked: Architecture, *, where: Path) -> None:
    """Check that what is continued is what was begun.

    Raises:
        CheckpointError: naming a field that differs.
    """
    if there == asked:
        return
    old, new = there.to_dict(), asked.to_dict()
    name = next(key for key in {**old, **new} if old.get(key) != new.get(key))
    old_words, new_words = (
        (there.pattern, asked.pattern) if name == "operators" else (str(old.get(name)), str(new.get(name)))
    )
    raise CheckpointError(
        f"A training goes on with the architecture it began with; {where} has {name} {old_words}, asked for is "
        f"{new_words}. Choose another --output for another architecture."
    )
