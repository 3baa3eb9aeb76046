"""What an export wrote, told from what users keep: only that may be replaced. Reads, and changes nothing."""

import json
from pathlib import Path
from typing import Any, Final

from nas.export.spec import SPEC_FILE
from search_spaces.errors import NasError
from search_spaces.yaml_reading import read_yaml

_COLUMNS: Final = {"number", "status", "fingerprint"}
"""Of a study's table, among others."""

_LONGEST_HEADER: Final = 10_000
_LARGEST_DOCUMENT_BYTES: Final = 2**22


def is_exported_folder(folder: Path) -> bool:
    """Return whether an export wrote a folder."""
    try:
        content = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return _is_document(content) or (isinstance(content, dict) and "frontier" in content)


def is_exported_file(file: Path) -> bool:
    """Return whether an export wrote a file: a specification or the table of a study; or whether it is empty."""
    size_bytes = file.stat().st_size
    if not size_bytes or _is_study_in_csv(file) or _is_study_in_parquet(file):
        return True
    if size_bytes > _LARGEST_DOCUMENT_BYTES:
        return False
    try:
        return _is_document(read_yaml(file.read_text(encoding="utf-8"), where=str(file)))
    except (NasError, UnicodeDecodeError):
        return False


def _is_document(content: Any) -> bool:
    return isinstance(content, dict) and {"schema_version", "architecture", "provenance"} <= content.keys()


def _is_study_in_csv(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as opened:
        return set(opened.readline(_LONGEST_HEADER).rstrip().split(",")) >= _COLUMNS


def _is_study_in_parquet(file: Path) -> bool:
    with file.open("rb") as opened:
        if opened.read(4) != b"PAR1":
            return False
    import pyarrow
    from pyarrow import parquet

    try:
        return set(parquet.read_schema(file).names) >= _COLUMNS
    except pyarrow.ArrowException:
        return False
