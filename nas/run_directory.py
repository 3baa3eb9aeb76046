"""The folder of one run: what lies where, and who may write.

config.yaml        resolved configuration       latency.parquet    the latency table used
environment.json   versions and machine         trials/N/          log and learning curve of trial N
study.journal      the record of all trials     report.html        the pictures
verification.json  frontier models timed whole  fidelity/          plan and study of longer trainings
fidelity.json      what those say of the scores
activity.json      what a running search says of itself
"""

import os
import tempfile
from pathlib import Path
from typing import Final

from nas.errors import RunDirectoryError
from nas.file_lock import FileLock

LOCK_NAME: Final = ".lock"


class RunDirectory:
    """Paths inside a run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.environment = path / "environment.json"
        self.journal = path / "study.journal"
        self.latency = path / "latency.parquet"
        self.report = path / "report.html"
        self.verification = path / "verification.json"

    @property
    def lock(self) -> FileLock:
        """What keeps other writers out."""
        return FileLock(self.path / LOCK_NAME, holds=self.path)

    def config_text(self) -> str:
        """Return the configuration as it was written.

        Raises:
            RunDirectoryError: it is no text, or cannot be opened.
        """
        try:
            return self.config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise RunDirectoryError(f"{self.config} cannot be read: {why}. Restore it from a copy.") from error

    def trial(self, number: int) -> Path:
        """Return the folder of one trial."""
        return self.path / "trials" / str(number)

    @staticmethod
    def check_free(path: Path) -> None:
        """Check that a new run may be made at `path`.

        Raises:
            RunDirectoryError: something is there already.
        """
        if path.exists() and (not path.is_dir() or any(entry.name != LOCK_NAME for entry in path.iterdir())):
            raise RunDirectoryError(
                f"The run directory must be new or empty; {path} is not. "
                f"Continue that run with `nas resume {path}`, or choose another directory."
            )

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """Make a new, empty run directory.

        Raises:
            RunDirectoryError: something is there already, or the place cannot be written to.
        """
        cls.check_free(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirectoryError(f"The run directory {path} cannot be made: {error.strerror}.") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """Open a run directory that a search made.

        Raises:
            RunDirectoryError: it holds no run.
        """
        directory = cls(path)
        if not directory.config.is_file():
            raise RunDirectoryError(
                f"{path} is not a run directory: it has no config.yaml. Start one with `nas search`."
            )
        return directory


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file so that a reader or a kill sees the old text or the new, never half of it.

    Args:
        path: the file.
        text: all of it.
        mode: who may read and write it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
