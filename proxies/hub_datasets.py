"""Documents of a data set of the Hugging Face hub, or of a folder in its layout, through the library `datasets`.

Read as a stream, one row at a time, so that a data set may be larger than the disk. What becomes of the documents is in
`data.py`.
"""

import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from proxies.errors import DataError
from proxies.file_formats import DEFAULT_FIELD, Document, text_in_row
from search_spaces.errors import UnavailableError, near_miss

PREFIX: Final = "hf:"

_FORM: Final = "'hf:NAME:SPLIT' or 'hf:OWNER/NAME/CONFIG:SPLIT', with ?field=, ?config=, ?max_documents= or ?download="
_OPTIONS: Final = ("config", "download", "field", "max_documents")
_SPLIT = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDataset:
    """Which rows of which data set."""

    name: str
    """On the hub, or the path of a folder."""

    config: str | None
    split: str
    field: str
    max_documents: int | None

    download: bool
    """Whether the data set is first brought whole into the local cache, from which it is read from then on."""

    @classmethod
    def parse(cls, uri: str) -> "HubDataset":
        """Read `hf:NAME[/CONFIG]:SPLIT[?OPTION=VALUE&…]`.

        Raises:
            DataError: it does not have that form.
        """
        place, _, query = uri.removeprefix(PREFIX).partition("?")
        name, _, split = place.rpartition(":")
        if not name or not _SPLIT.fullmatch(split):
            raise DataError(f"A data set of the hub is {_FORM}; got {uri!r}. Name it and its split, such as train.")
        options = dict(parse_qsl(query, keep_blank_values=True))
        for option, value in options.items():
            if option not in _OPTIONS:
                raise DataError(f"{uri!r} has the unknown option {option!r}.{near_miss(option, _OPTIONS)}")
            if not value:
                raise DataError(f"{uri!r} gives {option} no value. Give one, or leave it out.")
        config = options.get("config")
        if not is_folder(name) and name.count("/") == 2:
            name, _, config = name.rpartition("/")
        return cls(
            name=str(Path(name).expanduser()) if is_folder(name) else name,
            config=config,
            split=split,
            field=options.get("field", DEFAULT_FIELD),
            max_documents=_whole(options.get("max_documents"), uri=uri),
            download=_truth(options.get("download", "false"), uri=uri),
        )


def is_folder(name: str) -> bool:
    """Return whether a data set's name is a path of this machine."""
    return name.startswith(("/", ".", "~")) or Path(name).is_dir()


def absolute_dataset(uri: str) -> str:
    """Return the URI with which a folder is found from every working directory."""
    place, separator, query = uri.removeprefix(PREFIX).partition("?")
    name, colon, split = place.rpartition(":")
    if not name or not is_folder(name):
        return uri
    return f"{PREFIX}{Path(name).expanduser().absolute()}{colon}{split}{separator}{query}"


def read_dataset(uri: str) -> Iterator[Document]:
    """Yield the documents of a split in its order.

    Raises:
        DataError: no such data set, configuration, split or field, a row without text, or no network.
        UnavailableError: the package `datasets` is missing.
    """
    wanted = HubDataset.parse(uri)
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise UnavailableError(
            f"Reading {uri} needs the package datasets. Install it with: pip install 'hybridnas[data]'"
        ) from error
    try:
        rows = iter(
            datasets.load_dataset(wanted.name, wanted.config, split=wanted.split, streaming=not wanted.download)
        )
    except Exception as error:  # see _unreadable
        raise _unreadable(uri, error) from error
    for number in range(wanted.max_documents) if wanted.max_documents is not None else _numbers():
        try:
            row = next(rows)
        except StopIteration:
            return
        except Exception as error:  # see _unreadable
            raise _unreadable(uri, error) from error
        text = text_in_row(row, field=wanted.field, where=f"{uri}, row {number}", remedy="Name another with ?field=.")
        yield Document(name=f"{uri}:{number}", text=text)


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def _unreadable(uri: str, error: Exception) -> DataError:
    """Say what went wrong: the library hands on whatever its file formats and its network layers raise."""
    cause: BaseException = (
        error.__cause__ if type(error).__name__ == "DatasetGenerationError" and error.__cause__ else error
    )
    words = " ".join(str(cause).split()) or type(cause).__name__
    if len(words) > 400:
        words = f"{words[:400]}…"
    return DataError(
        f"Cannot read {uri}: {words.rstrip('.')}. A data set is {_FORM}; one of the hub needs the network, or to have "
        "been downloaded with ?download=true."
    )


def _whole(text: str | None, *, uri: str) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise DataError(f"max_documents must be a whole number of at least 1; got {text!r} in {uri!r}.")
    return int(text)


def _truth(text: str, *, uri: str) -> bool:
    if text not in ("true", "false"):
        raise DataError(f"download must be true or false; got {text!r} in {uri!r}.")
    return text == "true"
