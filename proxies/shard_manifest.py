"""What a folder of token shards says about itself: `manifest.json`.

Written last, so that a folder with one is whole. Reading tokens is `shards.py`, writing them `shard_writing.py`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from proxies.errors import DataError
from proxies.json_tokenizer import TOKENIZER_FILE, tokenizer_of
from proxies.tokenizers import BYTES, ByteTokenizer, Tokenizer
from search_spaces.errors import SpecError
from search_spaces.strict import from_mapping

MANIFEST_FILE: Final = "manifest.json"
SCHEMA_VERSION: Final = 1

Dtype = Literal["uint16", "uint32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFile:
    """One file of tokens, in NumPy's format."""

    file: str
    tokens: int

    size: int
    """Bytes, header included."""

    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedSplit:
    """One side: its files one after the other are its documents one after the other, each with its end."""

    documents: int
    tokens: int

    bytes: int
    """UTF-8 bytes of the documents."""

    token_bytes: int
    """What the tokenizer says the tokens stand for; `bytes`, where it is exact."""

    sha256: str
    """Over the documents' own digests in order; independent of the tokenizer."""

    shards: tuple[ShardFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Where the tokens come from, how they were made, and the files they are in."""

    source: str
    python_version: str | None
    """Of the interpreter whose library this is; none for other sources."""

    tokenizer: Mapping[str, Any]
    dtype: Dtype
    validation_fraction: float
    """Documents validate whose SHA-256, read as a number in [0, 1), lies below."""

    max_bytes: int | None
    shard_tokens: int
    duplicates: int
    one_document: bool
    train: ShardedSplit
    validation: ShardedSplit
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Manifest":
        """Read what `to_json` wrote.

        Raises:
            SpecError: a field is unknown or missing, or the files of a side do not add up to its tokens.
        """
        sides = {}
        for name in ("train", "validation"):
            side = content.get(name)
            if not isinstance(side, Mapping) or not isinstance(side.get("shards"), list):
                raise SpecError(f"{name} must list its shards.")
            shards = tuple(from_mapping(ShardFile, shard, where=f"a shard of {name}") for shard in side["shards"])
            split = from_mapping(ShardedSplit, {**side, "shards": shards}, where=name)
            if any(shard.tokens < 1 for shard in shards) or sum(shard.tokens for shard in shards) != split.tokens:
                raise SpecError(f"The files of {name} do not add up to its {split.tokens} tokens.")
            sides[name] = split
        return from_mapping(cls, {**content, **sides}, where="the manifest")


def read_manifest(folder: Path) -> tuple[Manifest, str]:
    """Return the manifest of a folder of shards, and the SHA-256 of its file.

    Raises:
        DataError: there is none, it is not whole, or of another version.
    """
    path = folder / MANIFEST_FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        unfinished = " It holds shards that were not finished; prepare them once more." if any_shards(folder) else ""
        raise DataError(
            f"A folder of tokens has a {MANIFEST_FILE}; {folder} has none to read ({error.strerror}).{unfinished} "
            "Check the path (every machine that trains must see it), or make it with: nas data prepare"
        ) from error
    try:
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
            version = content.get("schema_version") if isinstance(content, dict) else None
            raise SpecError(f"schema_version must be {SCHEMA_VERSION}; got {version!r}.")
        return Manifest.from_dict(content), hashlib.sha256(text).hexdigest()
    except (ValueError, SpecError) as error:
        raise DataError(
            f"{path} is no manifest of this version: {str(error).rstrip('.')}. Prepare the shards once more."
        ) from error


def any_shards(folder: Path) -> bool:
    """Return whether a folder holds files of tokens."""
    return any(folder.glob("*.npy"))


def load_manifest_tokenizer(folder: Path, manifest: Manifest) -> Tokenizer:
    """Return the tokenizer the shards were made with, which is kept beside them.

    Raises:
        DataError: it is missing, or another one than the manifest says.
        UnavailableError: the package `tokenizers` is missing.
    """
    recorded = manifest.tokenizer
    tokenizer: Tokenizer
    if recorded.get("name") == BYTES:
        tokenizer = ByteTokenizer()
    else:
        path = folder / TOKENIZER_FILE
        try:
            definition = path.read_text(encoding="utf-8")
            tokenizer = tokenizer_of(
                definition, name=str(recorded["name"]), end_of_document=int(recorded["end_of_document"])
            )
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"The tokenizer of the shards, {path}, cannot be read: {error}. Restore it.") from error
    check_same_tokenizer(tokenizer, manifest, folder=folder)
    return tokenizer


def check_same_tokenizer(tokenizer: Tokenizer, manifest: Manifest, *, folder: Path) -> None:
    """Refuse a tokenizer that did not make the shards.

    Raises:
        DataError: with both names and hashes.
    """
    given, recorded = dict(tokenizer.to_dict()), dict(manifest.tokenizer)
    # What it is called changes no token.
    is_same = {**given, "name": None} == {**recorded, "name": None} and (
        (given["name"] == BYTES) == (recorded.get("name") == BYTES)
    )
    if not is_same:
        raise DataError(
            f"Tokens mean something only to the tokenizer that made them: {folder} was made with {_named(recorded)}; "
            f"got {_named(given)}. Leave the tokenizer out to take that of the shards, or prepare others."
        )


def _named(record: Mapping[str, Any]) -> str:
    digest = record.get("sha256")
    return f"{record.get('name')!r}" + (f" (sha256 {str(digest)[:12]})" if digest else "")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader or a kill sees the old text or the new, never half of it."""
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
