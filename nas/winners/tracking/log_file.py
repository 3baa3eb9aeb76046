"""The log of a training as a file of JSON lines: appended to, and cut back where a training goes on from earlier."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from nas.run_directory import write_atomically
from nas.winners.errors import TrainingError

LOG_FILE: Final = "log.jsonl"


class LogFile:
    """A tracker that appends each event as one line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Without a buffer: what could not be written is not tried again when the file is closed.
        self._file = path.open("ab", buffering=0)

    def log(self, event: Mapping[str, Any]) -> None:
        """Write one line at once.

        Raises:
            TrainingError: it could not be written, or only in part.
        """
        line = json.dumps(event).encode() + b"\n"
        try:
            num_written = self._file.write(line)
        except OSError as error:
            raise self._failure(error.strerror or str(error)) from error
        if num_written != len(line):
            raise self._failure("no space left for a line")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _failure(self, cause: str) -> TrainingError:
        return TrainingError(
            f"The log {self._path} could not be written: {cause}. The checkpoints before are whole. Free space, then "
            "continue with --resume."
        )


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the events of a log, oldest first; none where there is no log. A last line cut short is left out."""
    return [event for event, _ in _lines(path)]


def cut_back(path: Path, *, step: int) -> None:
    """Leave what was logged up to a step; what came later is done once more."""
    if path.is_file():
        write_atomically(path, "".join(line for event, line in _lines(path) if event["step"] <= step))


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            # A kill may cut the last line short; the next session cuts it off before it appends.
            if line.endswith("\n"):
                yield json.loads(line), line
