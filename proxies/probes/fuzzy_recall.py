"""Fuzzy in-context recall of MAD: keys and values of one to several tokens [arXiv 2403.17844, 3.1].

A key is a run of key tokens and a value a run of value tokens, of varying length and with no separator; asked for is
every token of the value of a key that was seen before. A model has to put adjacent tokens together before it can bind
or look up, and must not take a key for one that only begins or ends like it.

MAD draws keys from all motifs of its vocabulary, of which most never come twice in a sequence; here a sequence draws
them from `num_keys` motifs of its own, so that a short one asks enough.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from proxies.errors import SettingsError
from proxies.probes.task import AnsweredFrom, Questions, check_at_least, unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzyInContextRecall:
    """Recall the value, of several tokens, of a key of several tokens."""

    answered_from: ClassVar[AnsweredFrom] = "every_token"

    num_tokens: int = 128
    num_keys: int = 7
    """Different keys in a sequence."""

    num_key_tokens: int = 7
    num_value_tokens: int = 7
    longest_motif: int = 3
    """Tokens of a key, and of a value, at most; the tokens of one motif differ."""

    def __post_init__(self) -> None:
        check_at_least(self, num_keys=1, longest_motif=1, num_key_tokens=1, num_value_tokens=2)
        if self.longest_motif > min(self.num_key_tokens, self.num_value_tokens) or self.num_keys > self.num_key_tokens:
            raise SettingsError(
                "FuzzyInContextRecall needs as many key tokens as keys, and key and value tokens for its longest "
                f"motif; got {self.num_keys} keys and motifs of up to {self.longest_motif} from "
                f"{self.num_key_tokens} key and {self.num_value_tokens} value tokens."
            )
        # The first pair comes again at the end, behind all padding.
        check_at_least(self, num_tokens=4 * self.longest_motif)

    @property
    def vocab_size(self) -> int:
        """Key tokens, value tokens and the padding in front."""
        return self.num_key_tokens + self.num_value_tokens + 1

    @property
    def chance(self) -> float:
        """Every value token is as likely."""
        return 1 / self.num_value_tokens

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh sequences."""
        tokens_NT = np.full((num_sequences, self.num_tokens), self.vocab_size - 1, dtype=np.int64)
        labels_NT = unasked(tokens_NT)
        for tokens_T, labels_T in zip(tokens_NT, labels_NT, strict=True):
            self._fill(tokens_T, labels_T, rng=rng)
        return Questions(tokens=tokens_NT, labels=labels_NT)

    def _fill(self, tokens_T: NDArray[np.int64], labels_T: NDArray[np.int64], *, rng: np.random.Generator) -> None:
        keys = self._keys(rng)
        values = [self._motif(rng, size=self.num_value_tokens) + self.num_key_tokens for _ in keys]
        sizes = [len(key) + len(value) for key, value in zip(keys, values, strict=True)]
        first = int(rng.integers(len(keys)))
        room, order = self.num_tokens - 2 * sizes[first], [first]
        for pair in rng.integers(len(keys), size=self.num_tokens):
            if sizes[pair] > room:
                break
            order.append(int(pair))
            room -= sizes[pair]
        order.append(first)
        end, seen = room, set[int]()
        for pair in order:
            key, value = keys[pair], values[pair]
            begin, middle = end, end + len(key)
            end = middle + len(value)
            tokens_T[begin:middle], tokens_T[middle:end] = key, value
            if pair in seen:
                labels_T[middle - 1 : end - 1] = value
            seen.add(pair)

    def _keys(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        keys = dict[tuple[int, ...], NDArray[np.int64]]()
        while len(keys) < self.num_keys:
            motif = self._motif(rng, size=self.num_key_tokens)
            keys[tuple(motif.tolist())] = motif
        return list(keys.values())

    def _motif(self, rng: np.random.Generator, *, size: int) -> NDArray[np.int64]:
        return rng.permutation(size)[: int(rng.integers(1, self.longest_motif + 1))]
