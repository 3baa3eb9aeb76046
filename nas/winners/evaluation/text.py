"""The tokens a model is asked to predict: one side of a text source or all of it, and windows over them.

The validation side is that of training: which documents validate depends on what they say. Nothing here needs torch.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from nas.errors import UsageError
from proxies.data import DEFAULT_VALIDATION_FRACTION, Split, load_corpus
from proxies.shards import ShardedTokens
from proxies.tokenizers import Tokenizer

Side = Literal["validation", "train", "all"]

_SHORTEST: Final = 1
"""Tokens of a sequence that both sides of a source must hold at least."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Text:
    """Tokens in order, before them the end of a document, so that the first one is predicted too."""

    uri: str
    side: Side
    tokenizer: Tokenizer
    splits: tuple[Split, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens to predict."""
        return sum(split.num_tokens for split in self.splits)

    @property
    def bytes_per_token(self) -> NDArray[np.float64]:
        """UTF-8 bytes each token stands for, such that those of all add up to the text's."""
        said = sum(split.token_bytes for split in self.splits)
        exact = sum(split.num_bytes for split in self.splits) / said if said else 1.0
        return np.multiply(self.tokenizer.bytes_per_token, exact, dtype=np.float64)

    def stretch(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return the tokens from place `start` to before `stop`; place 0 is the end of document before them all."""
        parts = [np.full(1 if start == 0 < stop else 0, self.tokenizer.end_of_document, dtype=np.int64)]
        first = 1
        for split in self.splits:
            begin, end = max(start, first) - first, min(stop, first + split.num_tokens) - first
            if begin < end:
                parts.append(_read(split, begin, end))
            first += split.num_tokens
        return np.concatenate(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Which tokens are predicted together: every token once, after as many others as the window leaves it.

    The first window predicts `sequence_tokens`, each further one the next `stride`, with what fits before them.
    """

    num_tokens: int
    sequence_tokens: int
    stride: int
    """From 1 to `sequence_tokens`, which is without overlap."""

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.sequence_tokens:
            raise UsageError(
                f"--stride is how many tokens of a window are predicted, from 1 to all {self.sequence_tokens}; "
                f"got {self.stride}."
            )

    def __len__(self) -> int:
        """Return the number of windows over all tokens."""
        return 1 + -(-max(0, self.num_tokens - self.sequence_tokens) // self.stride)

    def __getitem__(self, index: int) -> tuple[int, int, int]:
        """Return first place read, last place predicted, and how many at the end are predicted; places as `Text`'s."""
        end = min(self.sequence_tokens + index * self.stride, self.num_tokens)
        before = 0 if index == 0 else self.sequence_tokens + (index - 1) * self.stride
        return max(0, end - self.sequence_tokens), end, end - before

    def spread(self, max_tokens: int | None) -> list[int]:
        """Return windows spread evenly over the text that predict about so many tokens; all of them for none."""
        count = len(self)
        wanted = count if max_tokens is None else max(1, round(max_tokens / self.stride))
        if wanted >= count:
            return list(range(count))
        # The last one may predict less.
        num_full = count - 1
        return [index * (num_full - 1) // max(1, wanted - 1) for index in range(wanted)]


def open_text(
    uri: str,
    *,
    tokenizer: Tokenizer,
    side: Side = "validation",
    validation_fraction: float = DEFAULT_VALIDATION_FRACTION,
    max_bytes: int | None = None,
) -> Text:
    """Read and tokenize a text source, or open its shards.

    Args:
        uri: `stdlib`, `file:…`, `hf:…` or `tokens:…`.
        tokenizer: the model's; shards must have been made with it.
        side: what of it; `all` is train, then validation.
        validation_fraction: of the bytes of a text, as it was in training.
        max_bytes: of a text, where reading stops, as it was in training.

    Raises:
        DataError: the source cannot be read, holds too little, or was tokenized with another tokenizer.
        UnavailableError: a package it needs is missing.
    """
    corpus = load_corpus(
        uri,
        tokenizer=tokenizer,
        sequence_tokens=_SHORTEST,
        validation_fraction=validation_fraction,
        max_bytes=max_bytes,
    )
    sides = {"validation": (corpus.validation,), "train": (corpus.train,), "all": (corpus.train, corpus.validation)}
    return Text(uri=uri, side=side, tokenizer=corpus.tokenizer, splits=sides[side])


def _read(split: Split, begin: int, end: int) -> NDArray[np.int64]:
    if isinstance(split.tokens, ShardedTokens):
        (stretch,) = split.tokens.windows(np.array([begin]), length=end - begin)
        return np.asarray(stretch)
    return np.asarray(split.tokens[begin:end], dtype=np.int64)
