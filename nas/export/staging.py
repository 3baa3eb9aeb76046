"""An output that is there whole or not at all: written beside its place under a hidden name, then renamed.

What may be replaced is asked of `written.py`.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nas.durable import to_disk
from nas.errors import RunDirectoryError, UsageError
from nas.export.written import is_exported_file, is_exported_folder

_REPLACED: Final = ".replaced"
"""Ends the name of what stood at the output, between its renaming and that of the new one."""


def require_free(output: Path, *, force: bool, is_folder: bool) -> None:
    """Check that an output may be written, before anything is computed for it.

    Raises:
        RunDirectoryError: it exists and is not to be overwritten, or holds what no export wrote.
        UsageError: a file where a folder is wanted, or the other way round.
    """
    if not output.exists():
        return
    if output.is_dir() != is_folder:
        wanted, found = ("a folder", "a file") if is_folder else ("a file", "a folder")
        raise UsageError(f"This is exported into {wanted}; {output} is {found}. Choose another --output.")
    if is_folder and not any(output.iterdir()):
        return
    if not force:
        raise RunDirectoryError(f"{output} exists. Choose another output, or overwrite it with --force.")
    if not (is_exported_folder(output) if is_folder else is_exported_file(output)):
        raise RunDirectoryError(
            f"{output} holds what no export wrote, so --force does not replace it. Choose another output."
        )


@contextmanager
def staged(output: Path, *, is_folder: bool) -> Iterator[Path]:
    """Give a place to write to, a new empty folder or no file yet, which becomes `output` when all went well.

    What stood there is replaced; see `require_free`. After an error, or an interruption, nothing is left; what a kill
    leaves goes with the next output of that name. Where `output` is a link, what it points to is written.
    """
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    _clear(output)
    beside = Path(tempfile.mkdtemp(dir=output.parent, prefix=_prefix(output)))
    lock = os.open(beside, os.O_RDONLY)
    try:
        _take_lock(lock)
        place = beside / output.name
        if is_folder:
            place.mkdir()
        yield place
        _sync(place)
        _put(place, output, replaced=_replaced(beside, output))
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        os.close(lock)


def _prefix(output: Path) -> str:
    return f".{output.name}.export-"


def _replaced(beside: Path, output: Path) -> Path:
    return beside / f"{output.name}{_REPLACED}"


def _clear(output: Path) -> None:
    """Remove what killed exports left beside an output; what one was about to replace comes back."""
    for left in output.parent.iterdir():
        if not left.name.startswith(_prefix(output)) or not left.is_dir():
            continue
        lock = os.open(left, os.O_RDONLY)
        try:
            if _take_lock(lock):
                if _replaced(left, output).exists() and not output.exists():
                    _replaced(left, output).rename(output)
                shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(lock)


def _take_lock(descriptor: int) -> bool:
    """Take a folder's lock, which ends with its process; false if another has it or the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _put(place: Path, output: Path, *, replaced: Path) -> None:
    """Rename to the output; a folder there gives way first, and comes back if that fails."""
    if not (place.is_dir() and output.exists()):
        place.replace(output)
    else:
        output.rename(replaced)
        try:
            place.replace(output)
        except BaseException:
            replaced.rename(output)
            raise
    to_disk(output.parent)


def _sync(place: Path) -> None:
    """Bring everything written to the disk, folders after what they hold."""
    if place.is_dir():
        for entry in place.iterdir():
            _sync(entry)
    to_disk(place)
