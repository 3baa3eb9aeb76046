"""Tokenizers of the library `tokenizers`, from a `tokenizer.json` or from the Hugging Face hub.

How such a file is learnt from text is `tokenizer_training.py`.
"""

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from proxies.errors import DataError
from search_spaces.errors import UnavailableError

TOKENIZER_FILE: Final = "tokenizer.json"
HUB_PREFIX: Final = "hf:"

_CONFIG_FILE: Final = "tokenizer_config.json"
_END_OPTION: Final = "?end="
_USUAL_ENDS: Final = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>")
"""Ends of a text; before `eos_token`, which in models for chat is the end of a turn."""

_SPACE: Final = "▁"
_LARGEST_UINT16_VOCAB: Final = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonTokenizer:
    """A tokenizer by its definition. Text that spells a special token is encoded as text."""

    name: str
    definition: str
    """What `tokenizer.json` says, without blanks between."""

    end_of_document: int

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return len(_sizes(self.definition))

    @property
    def sha256(self) -> str:
        """Of the definition."""
        return hashlib.sha256(self.definition.encode("utf-8")).hexdigest()

    @property
    def bytes_per_token(self) -> NDArray[np.int64]:
        """UTF-8 bytes each token stands for.

        Exact for byte-level BPE, which keeps text as it is. Otherwise what the token's letters take up, which is off
        where text is normalised, spaces are added, or an unknown token (counted as 1) stands for more.
        """
        return _sizes(self.definition).copy()

    def encode(self, text: str) -> NDArray[np.uint16] | NDArray[np.uint32]:
        """Return the tokens of a text, without special tokens."""
        # Of the two ways to encode, the one that does not keep where in the text each token began.
        (encoding,) = _compiled(self.definition).encode_batch_fast([text], add_special_tokens=False)
        if self.vocab_size <= _LARGEST_UINT16_VOCAB:
            return np.array(encoding.ids, dtype=np.uint16)
        return np.array(encoding.ids, dtype=np.uint32)

    def decode(self, tokens: NDArray[np.integer[Any]]) -> str:
        """Return the text of tokens; special tokens leave no trace."""
        return str(_compiled(self.definition).decode(tokens.tolist(), skip_special_tokens=True))

    def to_dict(self) -> dict[str, Any]:
        """Return name, sizes and the hash of the definition."""
        return {
            "name": self.name,
            "vocab_size": self.vocab_size,
            "end_of_document": self.end_of_document,
            "sha256": self.sha256,
        }


def read_tokenizer(where: str) -> JsonTokenizer:
    """Return the tokenizer of a file, of a folder with a `tokenizer.json`, or of `hf:NAME` on the hub.

    `?end=TOKEN` after it says which token ends a document, where that is none of the usual ones and no
    tokenizer_config.json beside it says.

    Raises:
        DataError: there is none, it cannot be read, or nothing ends a document.
        UnavailableError: the library is missing.
    """
    place, _, end = where.partition(_END_OPTION)
    if place.startswith(HUB_PREFIX):
        name = place.removeprefix(HUB_PREFIX)
        if not name:
            raise DataError(f"A tokenizer of the hub is 'hf:NAME'; got {where!r}. Name it.")
        file, beside = _from_hub(name, TOKENIZER_FILE), _from_hub(name, _CONFIG_FILE)
        if file is None:
            raise DataError(f"A tokenizer of the hub needs a {TOKENIZER_FILE}; {name} has none. Name another.")
    else:
        path = Path(place).expanduser()
        file = path / TOKENIZER_FILE if path.is_dir() else path
        name, beside = f"{file.absolute().parent.name}/{file.name}", file.parent / _CONFIG_FILE
    definition = _canonical(_read_json(file, what="tokenizer"))
    config = _read_json(beside, what="tokenizer configuration") if beside is not None and beside.is_file() else {}
    return JsonTokenizer(name=name, definition=definition, end_of_document=_end_of_document(definition, config, end))


def tokenizer_of(definition: str, *, name: str, end_of_document: int) -> JsonTokenizer:
    """Return the tokenizer of a definition that is at hand.

    Raises:
        DataError: it is no definition.
        UnavailableError: the library is missing.
    """
    return JsonTokenizer(name=name, definition=_canonical(json.loads(definition)), end_of_document=end_of_document)


def library() -> Any:
    """Return the library `tokenizers`.

    Raises:
        UnavailableError: it is missing.
    """
    try:
        return importlib.import_module("tokenizers")
    except ImportError as error:
        raise UnavailableError(
            "Tokenizers other than bytes need the package tokenizers. Install it with: pip install tokenizers"
        ) from error


def _from_hub(name: str, file: str) -> Path | None:
    """Return a file of a repository of the hub, from the local cache where it cannot be reached; none if it has not."""
    library()  # which brings the hub's along
    hub, errors = importlib.import_module("huggingface_hub"), importlib.import_module("huggingface_hub.errors")
    try:
        return Path(hub.hf_hub_download(name, file))
    except errors.EntryNotFoundError as error:
        # Its heir says that the hub could not be asked and the cache holds nothing.
        if not isinstance(error, errors.LocalEntryNotFoundError):
            return None
        reason: Exception = error
    except Exception as error:  # whatever a foreign library, its transport or a misspelt name comes up with
        reason = error
    if file == _CONFIG_FILE:
        return None
    first = str(reason).strip().splitlines()[0] if str(reason).strip() else type(reason).__name__
    raise DataError(
        f"The tokenizer {name!r} cannot be had from the Hugging Face hub or its local cache: {first} "
        f"Check the name and the network, or give the path of a {TOKENIZER_FILE}."
    ) from reason


def _read_json(path: Path, *, what: str) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"A tokenizer is 'bytes', the path of a {TOKENIZER_FILE} or 'hf:NAME'; there is no file {path}."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"The {what} {path} cannot be read: {error}. It must be a JSON file.") from error
    if not isinstance(content, dict):
        raise DataError(f"The {what} {path} must hold a JSON object; it holds {type(content).__name__}.")
    return content


def _canonical(content: Mapping[str, Any]) -> str:
    # Cut and padded text would be other text.
    content = {**content, "truncation": None, "padding": None}
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    try:
        library().Tokenizer.from_str(text)
    except UnavailableError:
        raise
    except Exception as error:  # the library raises nothing narrower
        raise DataError(f"This is no definition of a tokenizer: {error}. Give a {TOKENIZER_FILE}.") from error
    return text


def _end_of_document(definition: str, config: Mapping[str, Any], asked: str) -> int:
    tokenizer = _compiled(definition)
    special = {token.content: id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    configured = config.get("eos_token")
    if isinstance(configured, dict):
        configured = configured.get("content")
    for name in (asked,) if asked else (*_USUAL_ENDS, configured):
        if name in special:
            return int(special[name])
    wanted = f"{asked!r} is none" if asked else "none of them is known to end a document"
    raise DataError(
        f"A special token must end each document; {wanted}. Special tokens: {', '.join(sorted(special)) or 'none'}. "
        f"Name one with PATH{_END_OPTION}TOKEN."
    )


@lru_cache(maxsize=8)
def _compiled(definition: str) -> Any:
    tokenizer = library().Tokenizer.from_str(definition)
    # Else a text about tokenizers would hold ends of documents.
    tokenizer.encode_special_tokens = True
    return tokenizer


@lru_cache(maxsize=8)
def _sizes(definition: str) -> NDArray[np.int64]:
    tokenizer = _compiled(definition)
    content = json.loads(definition)
    is_byte_level = "ByteLevel" in json.dumps(content.get("decoder"))
    prefix = content["model"].get("continuing_subword_prefix") or ""
    added = tokenizer.get_added_tokens_decoder()
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    sizes = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    for token, id_ in vocabulary.items():
        if id_ in added:
            sizes[id_] = 0 if added[id_].special else len(token.encode("utf-8"))
        elif is_byte_level:
            # Each letter of the byte-level alphabet stands for a byte.
            sizes[id_] = len(token)
        else:
            sizes[id_] = _size_of_letters(token, prefix=prefix)
    unknown = content["model"].get("unk_token")
    if unknown in vocabulary:
        sizes[vocabulary[unknown]] = 1
    sizes.flags.writeable = False
    return sizes


def _size_of_letters(token: str, *, prefix: str) -> int:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return 1
    letters = token.removeprefix(prefix) if prefix else token
    return len(letters.replace(_SPACE, " ").encode("utf-8"))
