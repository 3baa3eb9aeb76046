"""The files of one side while they are written, and how far those that are finished reach.

Which documents go there, and what is recorded of it, is `shard_writing.py`.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proxies.encoding import Tokens
from proxies.errors import DataError
from proxies.shard_manifest import Dtype, ShardedSplit, ShardFile
from proxies.splitting import StreamedText


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far the finished files of one side reach."""

    shards: tuple[ShardFile, ...] = ()
    document: int = 0
    """The document in which the last file ends."""

    offset: int = 0
    """Tokens of that document in the files."""

    token_bytes: int = 0
    """Of the documents before it."""

    text_sha256: str = ""
    """Over the digests of the documents up to it."""


class SideWriter:
    """Collects the tokens of one side and writes a file whenever one is full."""

    def __init__(self, name: str, *, folder: Path, dtype: Dtype, shard_tokens: int, begun: Reached) -> None:
        self.name = name
        self.begun = begun
        self.shards = list(begun.shards)
        self.num_documents = self.num_bytes = 0
        self._folder = folder
        self._digest = hashlib.sha256()
        self._buffer = np.empty(shard_tokens, dtype=dtype)
        self._filled = 0
        self._num_written = 0
        self._token_bytes = begun.token_bytes

    def read(self, part: StreamedText) -> bool:
        """Count a document; return whether it is to be tokenized.

        Raises:
            DataError: it is another one than when the files were begun.
        """
        index = self.num_documents
        self.num_documents += 1
        self.num_bytes += part.text.num_bytes
        self._digest.update(part.text.digest)
        if not self.begun.shards:
            return True
        if index == self.begun.document and self._digest.hexdigest() != self.begun.text_sha256:
            raise text_changed(self._folder)
        return index >= self.begun.document

    def add(self, tokens: Tokens, *, token_bytes: int, text_sha256: str) -> Iterator[Reached]:
        """Append a document's tokens; yield how far the files reach after each that became full."""
        index = self._num_written + self.begun.document
        start = self.begun.offset if self._num_written == 0 else 0
        done = start
        while done < tokens.size:
            taken = min(tokens.size - done, self._buffer.size - self._filled)
            self._buffer[self._filled : self._filled + taken] = tokens[done : done + taken]
            self._filled += taken
            done += taken
            if self._filled == self._buffer.size:
                self._write()
                yield Reached(
                    shards=tuple(self.shards),
                    document=index,
                    offset=done,
                    token_bytes=self._token_bytes,
                    text_sha256=text_sha256,
                )
        self._num_written += 1
        self._token_bytes += token_bytes

    @property
    def text_sha256(self) -> str:
        """Over the digests of the documents read so far."""
        return self._digest.hexdigest()

    @property
    def num_tokens(self) -> int:
        """Tokens, those not written yet included."""
        return sum(shard.tokens for shard in self.shards) + self._filled

    def finish(self) -> ShardedSplit:
        """Write what is left and return the account of the side."""
        if self._filled:
            self._write()
        return ShardedSplit(
            documents=self.num_documents,
            tokens=self.num_tokens,
            bytes=self.num_bytes,
            token_bytes=self._token_bytes,
            sha256=self.text_sha256,
            shards=tuple(self.shards),
        )

    def _write(self) -> None:
        file = f"{self.name}-{len(self.shards):05}.npy"
        path = self._folder / file
        partial = path.with_name(f"{file}.partial")
        with partial.open("w+b") as stream:
            np.save(stream, self._buffer[: self._filled])
            stream.flush()
            os.fsync(stream.fileno())
            stream.seek(0)
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.seek(0, os.SEEK_END)
        partial.replace(path)
        self.shards.append(ShardFile(file=file, tokens=self._filled, size=size, sha256=sha256))
        self._filled = 0


def text_changed(folder: Path) -> DataError:
    """Return the error of a text that is not the one the files were begun with."""
    return DataError(
        f"Shards are of one text; it has changed since those in {folder} were begun. Restore the text, or remove the "
        "folder to begin anew."
    )
