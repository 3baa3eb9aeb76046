"""Turn text into tokens: the protocol, bytes as tokens, and tokenizers by name.

Tokenizers that are learnt from data are in `json_tokenizer.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from proxies.json_tokenizer import HUB_PREFIX, read_tokenizer

BYTES: Final = "bytes"

_NUM_BYTES: Final = 256


class Tokenizer(Protocol):
    """What a corpus needs of a tokenizer. Implementations are frozen, so that they travel between processes."""

    @property
    def name(self) -> str:
        """What records and reports call it."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""

    @property
    def end_of_document(self) -> int:
        """The token that follows every document."""

    @property
    def bytes_per_token(self) -> NDArray[np.int64]:
        """UTF-8 bytes each token stands for; 0 for special tokens, which no text contains.

        Where a tokenizer changes text these are near, not exact; a corpus corrects them by what its text really holds.
        """

    def encode(self, text: str) -> NDArray[np.uint16] | NDArray[np.uint32]:
        """Return the tokens of a text, without special tokens."""

    def decode(self, tokens: NDArray[np.integer[Any]]) -> str:
        """Return the text of tokens; special tokens leave no trace."""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping that names this tokenizer exactly."""


@dataclass(frozen=True, slots=True)
class ByteTokenizer:
    """One token a UTF-8 byte, and token 256 for the end of a document."""

    name: ClassVar[str] = BYTES
    vocab_size: ClassVar[int] = _NUM_BYTES + 1
    end_of_document: ClassVar[int] = _NUM_BYTES

    @property
    def bytes_per_token(self) -> NDArray[np.int64]:
        """1 for every byte, 0 for the end of a document."""
        sizes = np.ones(self.vocab_size, dtype=np.int64)
        sizes[self.end_of_document] = 0
        return sizes

    def encode(self, text: str) -> NDArray[np.uint16]:
        """Return the text's UTF-8 bytes."""
        return np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.uint16)

    def decode(self, tokens: NDArray[np.integer[Any]]) -> str:
        """Return the text of the bytes; a character cut in two becomes U+FFFD."""
        return tokens[tokens < _NUM_BYTES].astype(np.uint8).tobytes().decode("utf-8", errors="replace")

    def to_dict(self) -> dict[str, Any]:
        """Return `{"name": "bytes", "vocab_size": 257}`."""
        return {"name": self.name, "vocab_size": self.vocab_size}


def load_tokenizer(name: str) -> Tokenizer:
    """Return a tokenizer by name: `bytes`, the path of a `tokenizer.json` or of its folder, or `hf:NAME`.

    Raises:
        DataError: there is none of that name, or it cannot be read.
        UnavailableError: the package `tokenizers` is missing.
    """
    return ByteTokenizer() if name == BYTES else read_tokenizer(name)


def absolute_name(name: str) -> str:
    """Return the name under which a tokenizer is found from every working directory."""
    if name == BYTES or name.startswith(HUB_PREFIX):
        return name
    path, separator, rest = name.partition("?")
    return f"{Path(path).expanduser().absolute()}{separator}{rest}"
