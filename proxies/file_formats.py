"""Documents of one file: plain text (one document), jsonl (one a line) or parquet (one a row).

Strict: a line, row or byte that is not text is an error that says where it is, never skipped.
"""

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proxies.errors import DataError
from search_spaces.errors import UnavailableError, near_miss

DEFAULT_FIELD: Final = "text"
TEXT_SUFFIXES: Final = (".txt", ".md", ".py")
JSONL_SUFFIXES: Final = (".jsonl",)
PARQUET_SUFFIXES: Final = (".parquet",)
SUFFIXES: Final = (*TEXT_SUFFIXES, *JSONL_SUFFIXES, *PARQUET_SUFFIXES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text, and where it came from."""

    name: str
    text: str


def read_documents(path: Path, *, field: str) -> Iterator[Document]:
    """Yield the documents of a file in the order it holds them; `field` is the text's name in jsonl and parquet.

    Raises:
        DataError: the file is missing, unreadable, of an unknown format, or holds something that is not text.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in TEXT_SUFFIXES:
            yield Document(name=str(path), text=_decode(path.read_bytes(), where=str(path), offset=0))
        elif suffix in JSONL_SUFFIXES:
            yield from _read_jsonl(path, field=field)
        elif suffix in PARQUET_SUFFIXES:
            yield from _read_parquet(path, field=field)
        elif not path.exists():
            # A folder that is not there has no suffix to complain of.
            raise FileNotFoundError(path)
        else:
            raise DataError(f"Text files end in {', '.join(SUFFIXES)}; got {path}. Rename or convert it.")
    except FileNotFoundError as error:
        raise DataError(
            f"There is no file or folder {path}. Check the path; it is read relative to {Path.cwd()}."
        ) from error
    except OSError as error:
        raise DataError(
            f"Cannot read {path}: {error.strerror or error}. Check the file and its permissions."
        ) from error


def _decode(content: bytes, *, where: str, offset: int) -> str:
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError(
            f"Text must be UTF-8; {where} has the byte 0x{content[error.start]:02x} at byte offset "
            f"{offset + error.start}. Convert the file to UTF-8."
        ) from error


def _read_jsonl(path: Path, *, field: str) -> Iterator[Document]:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}, line {number}"
            text = _decode(line, where=where, offset=offset)
            offset += len(line)
            if text.strip():
                yield Document(name=f"{path}:{number}", text=_text_of_line(text, field=field, where=where))


def _text_of_line(line: str, *, field: str, where: str) -> str:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"Every line of a jsonl file is one JSON object; {where}, column {error.colno}: {error.msg}."
        ) from error
    if not isinstance(row, dict):
        raise DataError(f"Every line of a jsonl file is one JSON object; {where} holds {type(row).__name__}.")
    return text_in_row(row, field=field, where=where, remedy="Drop or repair it.")


def text_in_row(row: Mapping[str, Any], *, field: str, where: str, remedy: str) -> str:
    """Return the text of a row.

    Args:
        row: fields by name.
        field: that holds the text.
        where: names the row in errors.
        remedy: what to do where the field holds something else.

    Raises:
        DataError: there is no such field, or it holds no text.
    """
    if field not in row:
        raise _no_field(field, known=row, where=where)
    text = row[field]
    if not isinstance(text, str):
        raise DataError(f"The field {field!r} must be a string; {where} holds {type(text).__name__}. {remedy}")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"Half a surrogate pair at character {error.start} of {field!r} is not text; {where}."
        ) from error
    return text


def _read_parquet(path: Path, *, field: str) -> Iterator[Document]:
    try:
        pyarrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UnavailableError(f"Reading {path} needs pyarrow. Install it with: pip install pyarrow") from error
    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            if field not in schema.names:
                raise _no_field(field, known=schema.names, where=str(path))
            kind = schema.field(field).type
            if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
                raise DataError(
                    f"The column {field!r} must hold strings; in {path} it holds {kind}. Name another with ?field=."
                )
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=[field]):
                for scalar in batch.column(0):
                    yield Document(name=f"{path}:{number}", text=_text_of_row(scalar, where=f"{path}, row {number}"))
                    number += 1
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} is no readable parquet file: {str(error).rstrip('.')}.") from error


def _text_of_row(scalar: Any, *, where: str) -> str:
    buffer = scalar.as_buffer()
    if buffer is None:
        raise DataError(f"Every row must hold a text; {where} holds null. Drop or repair the row.")
    return _decode(buffer.to_pybytes(), where=where, offset=0)


def _no_field(field: str, *, known: Iterable[str], where: str) -> DataError:
    return DataError(f"{where} has no field {field!r}.{near_miss(field, known)} Choose one with ?field=NAME.")
