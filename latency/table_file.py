"""The file of a latency table: parquet, with the device fingerprint in its metadata.

It knows frames and headers, not what a row means.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from search_spaces.errors import NasError

HEADER = "hybridnas_latency_table"
"""Name of the entry in the parquet metadata that makes a parquet file a latency table."""


class TableFileError(NasError, ValueError):
    """A file is no readable latency table."""

    exit_code: ClassVar[int] = 4


def write_table(frame: pd.DataFrame, *, header: Mapping[str, Any], path: Path) -> None:
    """Write the frame and its header through a temporary file beside `path`, synced before it is renamed."""
    frame = frame.copy()
    frame.attrs = {HEADER: dict(header)}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            frame.to_parquet(file, index=False)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a table is as readable as any other result.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_table(path: Path, *, columns: Sequence[str], schema_version: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the frame and the header that `write_table` wrote.

    Args:
        path: The file.
        columns: Columns the frame must have.
        schema_version: The one the header must have.

    Raises:
        TableFileError: no such file, a truncated one, one that is no latency table, or another schema version.
    """
    if not path.is_file():
        raise TableFileError(f"There is no latency table at {path}. Measure one with `nas latency profile`.")
    content = path.read_bytes()
    if content[:4] != b"PAR1":
        raise TableFileError(
            f"{path} is not a latency table: a table is a parquet file as `nas latency profile` saves."
        )
    if content[-4:] != b"PAR1":
        raise TableFileError(
            f"{path} is truncated: its end is missing after {len(content)} bytes. Restore it, or profile again."
        )
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise TableFileError(f"{path} is damaged: {error}. Restore it, or profile again.") from error
    header = frame.attrs.get(HEADER)
    if not isinstance(header, dict) or "schema_version" not in header:
        raise TableFileError(f"{path} is a parquet file but not a latency table: it carries no device fingerprint.")
    if header["schema_version"] != schema_version:
        raise TableFileError(
            f"The latency table {path} has schema version {header['schema_version']!r}; this version of hybridnas "
            f"reads {schema_version}. Profile again, or read it with the version that wrote it."
        )
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise TableFileError(f"The latency table {path} lacks the columns {', '.join(missing)}. Profile again.")
    return frame, header
