"""A study's journal file: repaired after a kill, then handed to Optuna.

A writer that dies in the middle of a line leaves a torn tail, onto which the next line would be glued. Only whoever
holds the run directory's lock may repair.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nas.errors import StudyError
from nas.file_lock import FileLock
from nas.storage.journal_reading import damaged


@contextmanager
def repaired_journal(path: Path, *, notice: Callable[[str], None]) -> Iterator[None]:
    """Be the one writer of a journal that lies in no run directory, its torn end repaired first.

    Raises:
        RunDirectoryError: another process writes it.
        StudyError: it is damaged before its end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.writer"), holds=path):
        repair = repair_journal(path)
        if repair is not None:
            notice(str(repair))
        yield


@dataclass(frozen=True, slots=True)
class Repair:
    """What was cut from the end of a journal."""

    num_bytes: int
    saved_as: Path

    def __str__(self) -> str:
        return f"The journal ended in a torn line; {self.num_bytes} bytes were cut from it and kept in {self.saved_as}."


def repair_journal(path: Path) -> Repair | None:
    """Cut a torn last line, keep it beside the journal, and drop a dead writer's lock; return what was cut.

    Raises:
        StudyError: a line before the last cannot be read; that is damage no crash of ours leaves.
    """
    if not path.exists():
        return None
    # Optuna's lock is a symbolic link that outlives a killed writer; our own lock already excludes a living one.
    Path(f"{path}.lock").unlink(missing_ok=True)
    content = path.read_bytes()
    lines = content.split(b"\n")
    bad = [index for index, line in enumerate(lines[:-1]) if not _is_record(line)]
    torn = len(lines[-1])
    if bad and bad == [len(lines) - 2]:
        # A page that never reached the disk: the line has its end, but not its middle.
        torn += len(lines[-2]) + 1
    elif bad:
        raise StudyError(damaged(path, line=bad[0] + 1))
    if not torn:
        return None
    saved = path.with_suffix(".torn")
    with saved.open("ab") as file:
        file.write(content[-torn:] + b"\n")
    repaired = path.with_suffix(".repaired")
    repaired.write_bytes(content[:-torn])
    shutil.copystat(path, repaired)
    repaired.replace(path)
    return Repair(torn, saved)


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
