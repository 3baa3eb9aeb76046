"""The folder of one run: what lies where, and who may write.

config.yaml        resolved configuration       latency.parquet    the latency table used
environment.json   versions and machine         trials/N/          log and learning curve of trial N
study.journal      the record of all trials     report.html        the pictures
verification.json  frontier models timed whole
"""

import fcntl
import os
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from nas.errors import RunDirectoryError

LOCK_NAME: Final = ".lock"

_LOCK_TRIES: Final = 20
_LOCK_PAUSE_S: Final = 0.05


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


class RunLock:
    """Holds a run directory for one writer; the system releases it when the process dies, however it dies."""

    def __init__(self, directory: RunDirectory) -> None:
        self._path = directory.path / LOCK_NAME
        self._file: IO[str] | None = None

    def __enter__(self) -> "RunLock":
        """Take the lock.

        Raises:
            RunDirectoryError: another process holds it.
        """
        file = self._path.open("a+")
        # Whoever asks is_locked holds the lock for a moment.
        for _ in range(_LOCK_TRIES):
            if _try_lock(file, fcntl.LOCK_EX):
                break
            time.sleep(_LOCK_PAUSE_S)
        else:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise RunDirectoryError(
                f"One search at a time may write {self._path.parent}; process {holder} does. "
                "Wait for it, or stop it first."
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_locked(directory: RunDirectory) -> bool:
    """Whether a search is writing this run directory now."""
    path = directory.path / LOCK_NAME
    if not path.exists():
        return False
    with path.open() as file:
        return not _try_lock(file, fcntl.LOCK_SH)


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader or a kill sees the old text or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
