"""A corpus: tokens split by document into train and validation, in memory or in shards, and sequences drawn from it.

Which sequences a step sees is a pure function of seed and step, so a repeated or resumed run sees the same ones.
Nothing here trains, and nothing needs torch.
"""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from proxies.encoding import encode_document
from proxies.epochs import epoch_order
from proxies.errors import DataError
from proxies.settings import Sampling
from proxies.shard_manifest import ShardedSplit, check_same_tokenizer, load_manifest_tokenizer
from proxies.shards import OpenedShards, ShardedTokens, open_shards
from proxies.sources import TOKENS, read_source
from proxies.splitting import Text, split_documents
from proxies.tokenizers import ByteTokenizer, Tokenizer

DEFAULT_VALIDATION_FRACTION: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Documents one after the other, each followed by the end-of-document token."""

    tokens: NDArray[np.uint16] | NDArray[np.uint32] | ShardedTokens
    """Read-only."""

    num_documents: int

    num_bytes: int
    """UTF-8 bytes of the documents."""

    token_bytes: int
    """What the tokenizer says the tokens stand for; `num_bytes`, where it is exact."""

    sha256: str
    """Over the documents' own digests in order; independent of the tokenizer."""

    @property
    def num_tokens(self) -> int:
        """Tokens, ends of documents included."""
        return int(self.tokens.size)

    def to_dict(self) -> dict[str, Any]:
        """Return what a record of the run keeps: sizes and hash, not the tokens."""
        return {
            "documents": self.num_documents,
            "tokens": self.num_tokens,
            "bytes": self.num_bytes,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Corpus:
    """Text ready for training; picklable, its arrays shared without a copy where the transport can.

    Of shards only their place is pickled: whoever trains must see the same folder.
    """

    uri: str
    tokenizer: Tokenizer
    train: Split
    validation: Split

    sequence_tokens: int
    """Both splits hold at least one sequence of this length and its next token."""

    num_duplicates: int
    """Documents left out because an equal one is there."""

    is_one_document: bool
    """Whether validation is the end of the only document."""

    python_version: str | None
    """Of the interpreter whose library this is; none for files."""

    @property
    def bytes_per_token(self) -> NDArray[np.int64] | NDArray[np.float64]:
        """UTF-8 bytes each token stands for, such that those of the validation split add up to its bytes."""
        sizes, split = self.tokenizer.bytes_per_token, self.validation
        if split.token_bytes in (0, split.num_bytes):
            return sizes
        return np.multiply(sizes, split.num_bytes / split.token_bytes, dtype=np.float64)

    @property
    def sha256(self) -> str:
        """Names the text and its split."""
        return hashlib.sha256(f"{self.train.sha256} {self.validation.sha256}".encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return what a record of the run keeps."""
        return {
            "uri": self.uri,
            "sha256": self.sha256,
            "tokenizer": self.tokenizer.to_dict(),
            "train": self.train.to_dict(),
            "validation": self.validation.to_dict(),
            "duplicates": self.num_duplicates,
            "one_document": self.is_one_document,
            "python_version": self.python_version,
        }


def load_corpus(
    uri: str,
    *,
    tokenizer: Tokenizer | None = None,
    sequence_tokens: int,
    validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
    max_bytes: int | None = None,
) -> Corpus:
    """Read, deduplicate, split (see `split_documents`) and tokenize a text source (see `read_source`).

    Or open the shards of `tokens:FOLDER`, which are split and tokenized (see `shard_writing.py`).

    Args:
        uri: the text or the shards.
        tokenizer: of the text, or of the shards to make sure; none means bytes, or that of the shards.
        sequence_tokens: that both sides must hold.
        validation_fraction: of the bytes of a text; shards have theirs.
        max_bytes: of a text, where reading stops.

    Raises:
        DataError: the source cannot be read, is empty, either side is shorter than one sequence, or the shards were
            made with another tokenizer.
        UnavailableError: a package that the source needs is missing.
    """
    if not 0 < validation_fraction < 1:
        raise DataError(f"validation_fraction must lie between 0 and 1; got {validation_fraction!r}. Try 0.05.")
    for name, value in (("sequence_tokens", sequence_tokens), ("max_bytes", max_bytes)):
        if value is not None and value < 1:
            raise DataError(f"{name} must be at least 1; got {value}.")
    if uri.startswith(TOKENS):
        if max_bytes is not None:
            raise DataError(f"max_bytes bounds text; {uri} is tokenized. Prepare fewer bytes instead.")
        corpus = _open_corpus(uri, tokenizer=tokenizer, sequence_tokens=sequence_tokens)
        check_holds_sequences(corpus, sequence_tokens=sequence_tokens)
        return corpus
    if tokenizer is None:
        tokenizer = ByteTokenizer()
    texts = split_documents(read_source(uri), validation_fraction=validation_fraction, max_bytes=max_bytes)
    if not texts.train and not texts.validation:
        raise DataError(f"A corpus needs text; every document of {uri} is empty. Name another source.")
    corpus = Corpus(
        uri=uri,
        tokenizer=tokenizer,
        train=_tokenize(texts.train, tokenizer=tokenizer),
        validation=_tokenize(texts.validation, tokenizer=tokenizer),
        sequence_tokens=sequence_tokens,
        num_duplicates=texts.num_duplicates,
        is_one_document=texts.is_one_document,
        python_version=platform.python_version() if uri == "stdlib" else None,
    )
    check_holds_sequences(corpus, sequence_tokens=sequence_tokens)
    return corpus


def _open_corpus(uri: str, *, tokenizer: Tokenizer | None, sequence_tokens: int) -> Corpus:
    path = uri.removeprefix(TOKENS)
    if not path:
        raise DataError(f"Shards are 'tokens:FOLDER'; got {uri!r}. Name the folder.")
    opened = open_shards(Path(path))
    manifest = opened.manifest
    if tokenizer is not None:
        check_same_tokenizer(tokenizer, manifest, folder=opened.folder)
    return Corpus(
        uri=uri,
        tokenizer=tokenizer or load_manifest_tokenizer(opened.folder, manifest),
        train=_sharded(opened, manifest.train),
        validation=_sharded(opened, manifest.validation),
        sequence_tokens=sequence_tokens,
        num_duplicates=manifest.duplicates,
        is_one_document=manifest.one_document,
        python_version=manifest.python_version,
    )


def _sharded(opened: OpenedShards, split: ShardedSplit) -> Split:
    return Split(
        tokens=opened.tokens(split),
        num_documents=split.documents,
        num_bytes=split.bytes,
        token_bytes=split.token_bytes,
        sha256=split.sha256,
    )


def check_holds_sequences(corpus: Corpus, *, sequence_tokens: int) -> None:
    """Refuse sequences that do not fit into both splits.

    Raises:
        DataError: with the tokens of the split, the tokens a sequence needs, and the remedy.
    """
    for name, split, remedy in (
        ("train", corpus.train, "a smaller validation_fraction"),
        ("validation", corpus.validation, "a larger validation_fraction"),
    ):
        if split.num_tokens < sequence_tokens + 1:
            raise DataError(
                f"One sequence of {sequence_tokens} tokens and its next token need {sequence_tokens + 1}; the {name} "
                f"split of {corpus.uri} holds {split.num_tokens} in {split.num_documents} document(s). "
                f"Use more text, shorter sequences or {remedy}."
            )


def training_batch(
    corpus: Corpus, *, step: int, seed: int, batch_size: int, sequence_tokens: int, sampling: Sampling = "random"
) -> NDArray[np.int64]:
    """Return sequences of the train split with the token after each, [batch, sequence + 1].

    A pure function of its arguments. Random sequences start anywhere, also within a document. Those of epochs lie one
    after the other; the batches of steps 0, 1, 2, … together hold each once in every epoch.

    Raises:
        DataError: an epoch has fewer sequences than a batch.
    """
    if sampling == "random":
        rng = np.random.default_rng((seed, step))
        starts_B = rng.integers(0, corpus.train.num_tokens - sequence_tokens, size=batch_size)
    else:
        num_sequences = (corpus.train.num_tokens - 1) // sequence_tokens
        if num_sequences < batch_size:
            raise DataError(
                f"A batch holds a sequence of an epoch once at most; got {batch_size} sequences a batch, and the train "
                f"split of {corpus.uri} has {num_sequences} of {sequence_tokens} tokens. Use more text, a smaller "
                "batch or shorter sequences."
            )
        places_B = step * batch_size + np.arange(batch_size, dtype=np.int64)
        starts_B = sequence_tokens * epoch_order(places_B, num_sequences=num_sequences, seed=seed)
    return sequences_at(corpus.train, starts_B, sequence_tokens=sequence_tokens)


def validation_batch(corpus: Corpus, *, num_sequences: int, sequence_tokens: int) -> NDArray[np.int64]:
    """Return sequences spread evenly over the validation split with the token after each, [sequences, sequence + 1].

    No token is predicted twice: where the split holds fewer than `num_sequences`, all that fit are returned.
    """
    last_start = corpus.validation.num_tokens - sequence_tokens - 1
    num = min(num_sequences, last_start // sequence_tokens + 1)
    starts_N = np.arange(num) * last_start // max(1, num - 1)
    return sequences_at(corpus.validation, starts_N, sequence_tokens=sequence_tokens)


def sequences_at(split: Split, starts_B: NDArray[np.int64], *, sequence_tokens: int) -> NDArray[np.int64]:
    """Return the sequences from these tokens on with the token after each, [batch, sequence + 1]."""
    if isinstance(split.tokens, ShardedTokens):
        return split.tokens.windows(starts_B, length=sequence_tokens + 1)
    positions_BT = starts_B[:, None] + np.arange(sequence_tokens + 1)
    return np.asarray(split.tokens[positions_BT], dtype=np.int64)


def _tokenize(texts: list[Text], *, tokenizer: Tokenizer) -> Split:
    parts: list[Any] = []
    digest = hashlib.sha256()
    sizes = tokenizer.bytes_per_token
    token_bytes = 0
    for text in texts:
        tokens, num_bytes = encode_document(text.text, tokenizer=tokenizer, bytes_per_token=sizes)
        parts.append(tokens)
        token_bytes += num_bytes
        digest.update(text.digest)
    tokens = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint16)
    tokens.flags.writeable = False
    return Split(
        tokens=tokens,
        num_documents=len(texts),
        num_bytes=sum(text.num_bytes for text in texts),
        token_bytes=token_bytes,
        sha256=digest.hexdigest(),
    )
