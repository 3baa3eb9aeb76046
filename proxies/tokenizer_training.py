"""Learn a byte-level BPE from text: the tokenizer of GPT-2, with a vocabulary of one's own.

The same text and size give the same tokenizer. Documents that would validate are left out, as the shards divide them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proxies.errors import DataError
from proxies.json_tokenizer import JsonTokenizer, library, tokenizer_of
from proxies.shard_manifest import write_whole
from proxies.sources import read_source
from proxies.splitting import StreamedSplit

END_OF_TEXT: Final = "<|endoftext|>"
_LEAST_VOCAB: Final = 257  # every byte, and the end of a document


def train_tokenizer(
    uri: str, *, vocab_size: int, name: str, validation_fraction: float = 0.05, max_bytes: int | None = None
) -> JsonTokenizer:
    """Learn a byte-level BPE from the train documents of a text source (see `read_source`), read one at a time.

    Args:
        uri: the text.
        vocab_size: tokens, of which 256 are bytes and one ends a document; fewer come out of a short text.
        name: what records call the tokenizer.
        validation_fraction: share of the documents left out.
        max_bytes: where reading stops.

    Raises:
        DataError: the source cannot be read or is empty, or the vocabulary does not hold every byte.
        UnavailableError: the package `tokenizers` is missing.
    """
    if vocab_size < _LEAST_VOCAB:
        raise DataError(f"A byte-level vocabulary holds at least {_LEAST_VOCAB} tokens; got {vocab_size}. Try 8192.")
    tokenizers = library()
    split = StreamedSplit(read_source(uri), validation_fraction=validation_fraction, max_bytes=max_bytes)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_train_texts(split), trainer)
    if not split.num_documents:
        raise DataError(f"A tokenizer needs text; every document of {uri} is empty. Name another source.")
    return tokenizer_of(tokenizer.to_str(), name=name, end_of_document=tokenizer.token_to_id(END_OF_TEXT))


def save_tokenizer(tokenizer: JsonTokenizer, path: Path) -> None:
    """Write `tokenizer.json`, whole or not at all.

    Raises:
        DataError: the folder is missing or may not be written to.
    """
    try:
        write_whole(path, tokenizer.definition)
    except OSError as error:
        raise DataError(f"Cannot write {path}: {error.strerror or error}. Name another file.") from error


def _train_texts(split: StreamedSplit) -> Iterator[str]:
    for part in split:
        if not part.is_validation:
            yield part.text.text
