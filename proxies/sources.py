"""Documents of text from a URI: `stdlib`, `file:` with a path, a folder or a glob, or `hf:` with a data set.

The same URI on the same files gives the same documents in the same order. What becomes of them (tokens, splits,
batches) is in `data.py`; formats of single files are in `file_formats.py`, data sets in `hub_datasets.py`.
"""

import hashlib
import os
import re
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxies import hub_datasets
from proxies.errors import DataError
from proxies.file_formats import DEFAULT_FIELD, SUFFIXES, Document, read_documents
from search_spaces.errors import near_miss

TOKENS: Final = "tokens:"
"""Before a folder of shards: a corpus, and no source of text."""

SCHEMES: Final = ("stdlib", "file:", hub_datasets.PREFIX)

_QUERY = re.compile(r"\?(?P<key>[A-Za-z_]+)=(?P<value>[^?]*)$")
_NOT_LIBRARY: Final = frozenset({"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"})
_PER_MACHINE: Final = ("_sysconfigdata", "sitecustomize", "usercustomize")


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileSource:
    path: str
    field: str


def read_source(uri: str) -> Iterator[Document]:
    """Yield the documents of a source, one at a time.

    `stdlib` is the Python standard library's source without its tests, in an order that has nothing to do with the
    modules' names, so that any prefix is a fair sample. `file:PATH` takes one file, every file of a known format under
    a folder, or a glob, in order of path; `?field=NAME` names the text field of jsonl and parquet files (`text` if not
    given). `hf:NAME:SPLIT` is a data set of the Hugging Face hub; see `hub_datasets.py`.

    Raises:
        DataError: an unknown scheme, nothing at the path, or a file that cannot be read.
        UnavailableError: a package that the format needs is missing.
    """
    if uri == "stdlib":
        yield from _stdlib_documents()
        return
    if uri.startswith(hub_datasets.PREFIX):
        yield from hub_datasets.read_dataset(uri)
        return
    if uri.startswith(TOKENS):
        raise DataError(f"Text is needed here; {uri} holds tokens. Name the source they were prepared from.")
    if not uri.startswith("file:"):
        hint = f" For a file write 'file:{uri}'." if Path(uri).exists() else ""
        scheme = "".join(uri.partition(":")[:2])
        raise DataError(
            f"A text source is 'stdlib', 'file:PATH' or 'hf:NAME:SPLIT'; got {uri!r}."
            f"{hint or near_miss(scheme, (*SCHEMES, TOKENS))}"
        )
    source = _parse_file_uri(uri)
    for path in _matching_files(source.path):
        yield from read_documents(path, field=source.field)


def absolute_uri(uri: str) -> str:
    """Return the URI under which a source is found from every working directory."""
    if uri.startswith(hub_datasets.PREFIX):
        return hub_datasets.absolute_dataset(uri)
    for scheme in ("file:", TOKENS):
        path = uri.removeprefix(scheme)
        if path != uri and path and not path.startswith(("?", "/")):
            return f"{scheme}{Path(path).expanduser().absolute()}"
    return uri


def _parse_file_uri(uri: str) -> _FileSource:
    text = uri.removeprefix("file:")
    if text.startswith("///"):
        text = text[2:]
    field = DEFAULT_FIELD
    if match := _QUERY.search(text):
        if match["key"] != "field":
            raise DataError(f"{uri!r} has the unknown option {match['key']!r}.{near_miss(match['key'], ['field'])}")
        field, text = match["value"], text[: match.start()]
    if not text or not field:
        raise DataError(f"A file source is 'file:PATH' or 'file:PATH?field=NAME'; got {uri!r}. Name the file.")
    return _FileSource(path=str(Path(text).expanduser()), field=field)


def _matching_files(pattern: str) -> list[Path]:
    path = Path(pattern)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise DataError(
                f"The folder {pattern} holds no file that ends in {', '.join(SUFFIXES)}. Name another folder."
            )
        return files
    if path.exists() or not set(pattern) & set("*?["):
        return [path]
    root = Path(path.anchor)
    files = sorted(file for file in root.glob(str(path.relative_to(root))) if not file.is_dir())
    if not files:
        raise DataError(f"No file matches {pattern}. Check the path; it is read relative to {Path.cwd()}.")
    return files


def _stdlib_documents() -> Iterator[Document]:
    root = Path(sysconfig.get_paths()["stdlib"])
    names = sorted(_library_modules(root), key=lambda name: hashlib.sha256(name.encode()).digest())
    if not names:
        raise DataError(f"This Python carries no source of its standard library at {root}. Use a file: source instead.")
    for name in names:
        try:
            # PEP 263: a module says its own encoding.
            with tokenize.open(root / name) as file:
                text = file.read()
        except (OSError, SyntaxError, UnicodeDecodeError) as error:
            raise DataError(f"Cannot read {root / name} of the standard library: {error}.") from error
        yield Document(name=name, text=text)


def _library_modules(root: Path) -> Iterator[str]:
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = [name for name in subfolders if name not in _NOT_LIBRARY and not name.startswith("config-")]
        for name in files:
            if name.endswith(".py") and not name.startswith(_PER_MACHINE):
                yield (Path(folder) / name).relative_to(root).as_posix()
