"""Tokens in files that are mapped, not read: several processes of a machine share one copy, and none holds it all.

What is pickled is where the files are. How they are made is `shard_writing.py`; how sequences are drawn is `data.py`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from proxies.errors import DataError
from proxies.shard_manifest import (
    MANIFEST_FILE,
    Dtype,
    Manifest,
    ShardedSplit,
    ShardFile,
    load_manifest_tokenizer,
    read_manifest,
)

_READ_TOKENS: Final = 2**24
"""Looked at together while verifying."""


class ShardedTokens:
    """The tokens of one split as if they were one array; the files are opened when the first of them is read."""

    def __init__(self, *, folder: Path, manifest_sha256: str, shards: tuple[ShardFile, ...], dtype: Dtype) -> None:
        self.folder = folder
        self.dtype = np.dtype(dtype)
        self._manifest_sha256 = manifest_sha256
        self._shards = shards
        self._ends = np.cumsum([shard.tokens for shard in shards], dtype=np.int64)
        self._maps: list[NDArray[np.uint16] | NDArray[np.uint32]] | None = None

    @property
    def size(self) -> int:
        """Number of tokens."""
        return int(self._ends[-1]) if len(self._shards) else 0

    def windows(self, starts_B: NDArray[np.int64], *, length: int) -> NDArray[np.int64]:
        """Return the `length` tokens from each start on, [starts, length].

        Raises:
            DataError: a file is missing, has another size than it had, or the folder was prepared anew meanwhile.
        """
        maps = self._opened()
        out_BT = np.empty((len(starts_B), length), dtype=np.int64)
        shards_B = np.searchsorted(self._ends, starts_B, side="right")
        for row, (start, shard) in enumerate(zip(starts_B.tolist(), shards_B.tolist(), strict=True)):
            offset = start - int(self._ends[shard]) + self._shards[shard].tokens
            done = 0
            # A sequence may run over the end of a file.
            while done < length:
                piece = maps[shard][offset : offset + length - done]
                out_BT[row, done : done + piece.size] = piece
                done, shard, offset = done + piece.size, shard + 1, 0
        return out_BT

    def _opened(self) -> list[NDArray[np.uint16] | NDArray[np.uint32]]:
        if self._maps is None:
            _, sha256 = read_manifest(self.folder)
            if sha256 != self._manifest_sha256:
                raise DataError(
                    f"The shards in {self.folder} are others than when the corpus was opened: their manifest has "
                    f"sha256 {sha256[:12]}, it had {self._manifest_sha256[:12]}. Restore them, or begin anew."
                )
            self._maps = [_mapped(self.folder, shard, dtype=self.dtype) for shard in self._shards]
        return self._maps

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_maps": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedShards:
    """A folder of shards whose files are there in full length."""

    folder: Path
    manifest: Manifest
    manifest_sha256: str

    def tokens(self, split: ShardedSplit) -> ShardedTokens:
        """Return the tokens of one side."""
        return ShardedTokens(
            folder=self.folder,
            manifest_sha256=self.manifest_sha256,
            shards=split.shards,
            dtype=self.manifest.dtype,
        )


def open_shards(folder: Path) -> OpenedShards:
    """Return what a folder holds after a look at the sizes of its files; contents are for `verify_shards`.

    Raises:
        DataError: no manifest, a file missing, or one of another size than was written.
    """
    folder = folder.expanduser().absolute()
    manifest, sha256 = read_manifest(folder)
    for shard in (*manifest.train.shards, *manifest.validation.shards):
        check_size(folder, shard)
    return OpenedShards(folder=folder, manifest=manifest, manifest_sha256=sha256)


def verify_shards(folder: Path) -> int:
    """Compare every file with the manifest, bit for bit, and return how many there are.

    Raises:
        DataError: naming each file that is not what was written, or holds what is no token.
    """
    opened = open_shards(folder)
    manifest = opened.manifest
    tokenizer = load_manifest_tokenizer(opened.folder, manifest)
    wrong = []
    shards = (*manifest.train.shards, *manifest.validation.shards)
    for shard in shards:
        with (opened.folder / shard.file).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != shard.sha256:
            wrong.append(f"{shard.file} has sha256 {sha256[:12]}, it had {shard.sha256[:12]}")
            continue
        tokens = _mapped(opened.folder, shard, dtype=np.dtype(manifest.dtype))
        parts = (tokens[start : start + _READ_TOKENS] for start in range(0, tokens.size, _READ_TOKENS))
        largest = max((int(part.max()) for part in parts), default=0)
        if largest >= tokenizer.vocab_size:
            wrong.append(f"{shard.file} holds the token {largest}, the vocabulary {tokenizer.vocab_size}")
    if wrong:
        raise DataError(
            f"Shards must be what {MANIFEST_FILE} says; in {opened.folder} {'; '.join(wrong)}. Prepare them once more."
        )
    return len(shards)


def check_size(folder: Path, shard: ShardFile) -> None:
    """Refuse a file that is missing or not as long as it was written.

    Raises:
        DataError: with both sizes.
    """
    path = folder / shard.file
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(
            f"A shard of {folder} cannot be read: {shard.file} ({error.strerror}). Restore it, or prepare them anew."
        ) from error
    if size != shard.size:
        raise DataError(
            f"A shard must be as long as it was written; {path} has {size} bytes, it had {shard.size}. "
            "Restore it, or prepare them once more."
        )


def _mapped(
    folder: Path, shard: ShardFile, *, dtype: "np.dtype[np.uint16] | np.dtype[np.uint32]"
) -> NDArray[np.uint16]:
    check_size(folder, shard)
    path = folder / shard.file
    try:
        tokens = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"The shard {path} is no file of tokens: {error}. Prepare the shards once more.") from error
    if tokens.dtype != dtype or tokens.shape != (shard.tokens,):
        raise DataError(
            f"The shard {path} must hold {shard.tokens} tokens of {dtype}; it holds {tokens.shape} of {tokens.dtype}. "
            "Prepare the shards once more."
        )
    mapped: NDArray[np.uint16] = tokens
    return mapped
