"""Text into files of tokens, once, as a stream: `nas data prepare`.

After each full file `progress.json` says how far it came; a later call with the same request goes on there, reading the
text once more but not tokenizing it. The manifest is written last.
"""

import fcntl
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from proxies.encoding import encode_documents
from proxies.errors import DataError
from proxies.json_tokenizer import TOKENIZER_FILE, JsonTokenizer
from proxies.shard_files import Reached, SideWriter, text_changed
from proxies.shard_manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Dtype,
    Manifest,
    ShardFile,
    read_manifest,
    write_whole,
)
from proxies.shards import check_size
from proxies.sources import absolute_uri, read_source
from proxies.splitting import StreamedSplit
from proxies.tokenizers import Tokenizer

DEFAULT_SHARD_TOKENS: Final = 2**25
"""64 MiB in 16 bits: buffered while a shard fills, and lost at a kill."""

PROGRESS_FILE: Final = "progress.json"

Report = Callable[[int, int], None]
"""Called with documents and UTF-8 bytes read so far."""

_SIDES: Final = ("train", "validation")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedShards:
    """What a call of `prepare_shards` left."""

    folder: Path
    manifest: Manifest
    was_there: bool
    """Whether an earlier call had finished them."""

    num_kept: int
    """Files that an earlier call, ended before its time, had finished."""


def prepare_shards(
    uri: str,
    *,
    tokenizer: Tokenizer,
    folder: Path,
    validation_fraction: float = 0.05,
    shard_tokens: int = DEFAULT_SHARD_TOKENS,
    max_bytes: int | None = None,
    num_processes: int = 1,
    report: Report | None = None,
) -> PreparedShards:
    """Tokenize a text source (see `read_source`) into a folder; the same request gives the same files, bit for bit.

    Holds a document, a shard of each side and 100 bytes for each document, never the corpus.

    Args:
        uri: the text.
        tokenizer: is kept beside the shards.
        folder: is new, or that of an earlier call with the same request.
        validation_fraction: expected share of the documents that validate; see `StreamedSplit`.
        shard_tokens: of a file; the last of a side has fewer.
        max_bytes: where reading stops.
        num_processes: that tokenize.
        report: is told how far it is.

    Raises:
        DataError: the source cannot be read, has changed since the shards were begun, or leaves a side empty; or the
            folder holds something else.
        LostProcessError: a process that tokenizes was killed.
    """
    if not 0 < validation_fraction < 1:
        raise DataError(f"validation_fraction must lie between 0 and 1; got {validation_fraction!r}. Try 0.05.")
    for name, value in (("shard_tokens", shard_tokens), ("max_bytes", max_bytes), ("processes", num_processes)):
        if value is not None and value < 1:
            raise DataError(f"{name} must be at least 1; got {value}.")
    request = {
        "schema_version": SCHEMA_VERSION,
        "source": absolute_uri(uri),
        "python_version": platform.python_version() if uri == "stdlib" else None,
        "tokenizer": tokenizer.to_dict(),
        "validation_fraction": validation_fraction,
        "max_bytes": max_bytes,
        "shard_tokens": shard_tokens,
    }
    if (folder / MANIFEST_FILE).exists():
        manifest, _ = read_manifest(folder)
        _check_same_request({name: getattr(manifest, name) for name in request}, request, folder=folder)
        return PreparedShards(folder=folder, manifest=manifest, was_there=True, num_kept=0)
    with _alone(folder):
        return _prepare(uri, request, tokenizer=tokenizer, folder=folder, num_processes=num_processes, report=report)


def _prepare(
    uri: str,
    request: Mapping[str, Any],
    *,
    tokenizer: Tokenizer,
    folder: Path,
    num_processes: int,
    report: Report | None,
) -> PreparedShards:
    begun = _begun(folder, request)
    dtype: Dtype = "uint16" if tokenizer.vocab_size <= 2**16 else "uint32"
    sides = {
        side: SideWriter(
            side, folder=folder, dtype=dtype, shard_tokens=request["shard_tokens"], begun=begun.get(side, Reached())
        )
        for side in _SIDES
    }
    num_kept = sum(len(side.shards) for side in sides.values())
    split = StreamedSplit(
        read_source(uri), validation_fraction=request["validation_fraction"], max_bytes=request["max_bytes"]
    )
    _open(folder, request, tokenizer=tokenizer, is_begun=bool(begun))
    progress: dict[str, Any] = {"request": request, **{name: asdict(part) for name, part in begun.items()}}
    documents = encode_documents(
        _to_encode(split, sides, report=report), tokenizer=tokenizer, num_processes=num_processes
    )
    with closing(documents):
        for job, tokens, token_bytes in documents:
            for reached in sides[job.side].add(tokens, token_bytes=token_bytes, text_sha256=job.text_sha256):
                progress[job.side] = asdict(reached)
                write_whole(folder / PROGRESS_FILE, json.dumps(progress))
    if any(side.num_documents <= side.begun.document and side.begun.shards for side in sides.values()):
        raise text_changed(folder)
    _check_sides(sides, split, folder=folder, uri=uri)
    manifest = Manifest(
        **request,
        dtype=dtype,
        duplicates=split.num_duplicates,
        one_document=split.is_one_document,
        train=sides["train"].finish(),
        validation=sides["validation"].finish(),
    )
    write_whole(folder / MANIFEST_FILE, manifest.to_json())
    (folder / PROGRESS_FILE).unlink()
    return PreparedShards(folder=folder, manifest=manifest, was_there=False, num_kept=num_kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """Where the tokens of a document go."""

    side: str
    text_sha256: str


def _to_encode(
    split: StreamedSplit, sides: Mapping[str, SideWriter], *, report: Report | None
) -> Iterator[tuple[_Job, str]]:
    """Yield the documents that no finished file holds wholly."""
    for number, part in enumerate(split, start=1):
        name = _SIDES[part.is_validation]
        side = sides[name]
        if side.read(part):
            yield _Job(side=name, text_sha256=side.text_sha256), part.text.text
        if report is not None:
            report(number, sum(each.num_bytes for each in sides.values()))


def _begun(folder: Path, request: Mapping[str, Any]) -> dict[str, Reached]:
    """Return how far an earlier call with this request came.

    Raises:
        DataError: the folder holds something else, or a finished file is gone.
    """
    path = folder / PROGRESS_FILE
    if not path.exists():
        if any(path.suffix != ".partial" for path in folder.iterdir()):
            raise DataError(f"Shards go into a folder of their own; {folder} holds other files. Name another.")
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        before = content["request"]
        begun = {
            side: Reached(**{**content[side], "shards": tuple(ShardFile(**shard) for shard in content[side]["shards"])})
            for side in _SIDES
            if side in content
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Remove the folder {folder} to begin anew.") from error
    if not begun:
        return {}
    _check_same_request(before, request, folder=folder)
    for shard in (shard for part in begun.values() for shard in part.shards):
        check_size(folder, shard)
    return begun


def _check_same_request(before: Mapping[str, Any], request: Mapping[str, Any], *, folder: Path) -> None:
    differing = [f"{name} {before.get(name)!r}" for name in request if before.get(name) != request[name]]
    if differing:
        raise DataError(
            f"The folder {folder} is that of another request: it was begun with {', '.join(differing)}; got "
            f"{', '.join(repr(request[name]) for name in request if before.get(name) != request[name])}. "
            "Name another folder, or remove it."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second preparation of the same folder out; a kill lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"Another process prepares {folder} right now. Wait for it, or name another.") from error
        yield
    finally:
        os.close(descriptor)


def _open(folder: Path, request: Mapping[str, Any], *, tokenizer: Tokenizer, is_begun: bool) -> None:
    if not is_begun:
        for path in _written(folder):
            path.unlink()
        write_whole(folder / PROGRESS_FILE, json.dumps({"request": request}))
    if isinstance(tokenizer, JsonTokenizer):
        write_whole(folder / TOKENIZER_FILE, tokenizer.definition)


def _check_sides(sides: Mapping[str, SideWriter], split: StreamedSplit, *, folder: Path, uri: str) -> None:
    """Refuse an empty side, and remove what is then of no use."""
    empty = [name for name, side in sides.items() if not side.num_bytes]
    if not empty:
        return
    for path in _written(folder):
        path.unlink()
    folder.rmdir()
    if len(empty) == len(sides):
        raise DataError(f"Shards need text; every document of {uri} is empty. Name another source.")
    remedy = (
        f"a validation fraction above {split.least:.4f}" if empty == ["validation"] else "a smaller validation fraction"
    )
    raise DataError(
        f"Each document is on the side its hash says, and none of the {split.num_documents} of {uri} is on that of "
        f"{empty[0]}. Use more text or {remedy}."
    )


def _written(folder: Path) -> list[Path]:
    """Return what a preparation leaves in its folder until the manifest."""
    names = (PROGRESS_FILE, TOKENIZER_FILE)
    return [path for path in folder.iterdir() if path.name in names or path.suffix in (".npy", ".partial")]
