"""An output that is there whole or not at all: written beside its place under a hidden name, then renamed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nas.errors import RunDirectoryError, UsageError

MARKS: Final = ("hybridnas.json", "frontier.csv")
"""A folder with one of these was written by an export, and may be replaced by one."""


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
    if is_folder and not any((output / mark).is_file() for mark in MARKS):
        raise RunDirectoryError(
            f"{output} holds what no export wrote, so --force does not replace it. Choose another output."
        )


@contextmanager
def staged(output: Path, *, is_folder: bool) -> Iterator[Path]:
    """Give a place to write to, a new empty folder or no file yet, which becomes `output` when all went well.

    What stood there is replaced; see `require_free`. After an error, or an interruption, nothing is left.
    """
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        place = beside / output.name
        if is_folder:
            place.mkdir()
        yield place
        _sync(place)
        _put(place, output, replaced=beside / "replaced")
    finally:
        shutil.rmtree(beside, ignore_errors=True)


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
    _sync_entry(output.parent)


def _sync(place: Path) -> None:
    """Bring everything written to the disk, folders after what they hold."""
    if place.is_dir():
        for entry in place.iterdir():
            _sync(entry)
    _sync_entry(place)


def _sync_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
