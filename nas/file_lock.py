"""One writer at a time, kept by a file: the system releases the lock when the process dies, however it dies."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from nas.errors import RunDirectoryError

_TRIES: Final = 20
_PAUSE_S: Final = 0.05


class FileLock:
    """Held inside its context. The file stays; what counts is who has it locked."""

    def __init__(self, path: Path, *, holds: Path, writer: str = "search") -> None:
        """Lock the file `path`, which stands for what it `holds`, and which a `writer` writes."""
        self._path = path
        self._writer = writer
        self._holds = holds
        self._file: IO[str] | None = None

    @property
    def is_held(self) -> bool:
        """Whether any process holds the lock now."""
        if not self._path.exists():
            return False
        with self._path.open() as file:
            return not _try_lock(file, fcntl.LOCK_SH)

    def __enter__(self) -> "FileLock":
        """Take the lock.

        Raises:
            RunDirectoryError: another process holds it.
        """
        file = self._path.open("a+")
        # Whoever asks is_held holds the lock for a moment.
        for _ in range(_TRIES):
            if _try_lock(file, fcntl.LOCK_EX):
                break
            time.sleep(_PAUSE_S)
        else:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise RunDirectoryError(
                f"One {self._writer} at a time may write {self._holds}; process {holder} does. Wait for it, or stop it "
                "first."
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


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
