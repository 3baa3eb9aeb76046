"""In-context recall of MAD, with and without noise [arXiv 2403.17844, 3.1].

Keys and values alternate, `k v k v …`; which value belongs to a key is drawn anew for every sequence. Asked for is the
value of every key that was seen before: a model has to bind a key to the token behind it and look it up later. With
noise, some pairs are replaced by tokens that mean nothing and have to be ignored.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from proxies.errors import SettingsError
from proxies.probes.task import IGNORED, AnsweredFrom, Questions, check_at_least, unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class InContextRecall:
    """Recall the value of a key that comes again; the defaults are MAD's baseline."""

    answered_from: ClassVar[AnsweredFrom] = "every_token"

    num_pairs: int = 64
    num_keys: int = 8
    num_values: int = 8

    def __post_init__(self) -> None:
        check_at_least(self, num_pairs=2, num_keys=1, num_values=2)

    @property
    def vocab_size(self) -> int:
        """Keys, then values."""
        return self.num_keys + self.num_values

    @property
    def num_tokens(self) -> int:
        """Two a pair."""
        return 2 * self.num_pairs

    @property
    def chance(self) -> float:
        """Every value is as likely."""
        return 1 / self.num_values

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh sequences."""
        return _pairs(self, num_sequences, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyInContextRecall:
    """The same among noise; the defaults are MAD's baseline."""

    answered_from: ClassVar[AnsweredFrom] = "every_token"

    num_pairs: int = 64
    """Pairs of tokens, those of noise included."""

    num_keys: int = 8
    num_values: int = 8
    num_noise_tokens: int = 16
    """Different ones."""

    noise_fraction: float = 0.2
    """Share of the pairs that are noise."""

    def __post_init__(self) -> None:
        check_at_least(self, num_pairs=2, num_keys=1, num_values=2, num_noise_tokens=1)
        if not 0 <= self.noise_fraction < 1:
            raise SettingsError(
                f"NoisyInContextRecall.noise_fraction must be a share below 1; got {self.noise_fraction!r}."
            )

    @property
    def vocab_size(self) -> int:
        """Keys, values, noise."""
        return self.num_keys + self.num_values + self.num_noise_tokens

    @property
    def num_tokens(self) -> int:
        """Two a pair."""
        return 2 * self.num_pairs

    @property
    def chance(self) -> float:
        """Every value is as likely."""
        return 1 / self.num_values

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh sequences."""
        clean = _pairs(self, num_sequences, rng=rng)
        shape = (num_sequences, self.num_pairs)
        is_noise = np.repeat(rng.random(shape) < self.noise_fraction, 2, axis=1)
        # The last pair is always asked and the first always answers it, so that every sequence asks something.
        is_noise[:, :2] = is_noise[:, -2:] = False
        first = self.num_keys + self.num_values
        noise_NT = rng.integers(first, first + self.num_noise_tokens, size=is_noise.shape)
        tokens_NT = np.where(is_noise, noise_NT, clean.tokens)
        tokens_NT[:, -2:] = tokens_NT[:, :2]
        return Questions(tokens=tokens_NT, labels=_labels(tokens_NT, num_keys=self.num_keys))


def _pairs(task: InContextRecall | NoisyInContextRecall, num_sequences: int, *, rng: np.random.Generator) -> Questions:
    keys_NP = rng.integers(task.num_keys, size=(num_sequences, task.num_pairs))
    # The last key is one that was seen before, so that every sequence asks something.
    keys_NP[:, -1] = keys_NP[:, 0]
    values_NK = rng.integers(task.num_keys, task.num_keys + task.num_values, size=(num_sequences, task.num_keys))
    tokens_NT = np.empty((num_sequences, task.num_tokens), dtype=np.int64)
    tokens_NT[:, 0::2] = keys_NP
    tokens_NT[:, 1::2] = np.take_along_axis(values_NK, keys_NP, axis=1)
    return Questions(tokens=tokens_NT, labels=_labels(tokens_NT, num_keys=task.num_keys))


def _labels(tokens_NT: NDArray[np.int64], *, num_keys: int) -> NDArray[np.int64]:
    keys_NP, values_NP = tokens_NT[:, 0::2], tokens_NT[:, 1::2]
    is_same_NPP = keys_NP[:, :, None] == keys_NP[:, None, :]
    was_seen_NP = np.tril(is_same_NPP, k=-1).any(axis=2) & (keys_NP < num_keys)
    labels_NT = unasked(tokens_NT)
    labels_NT[:, 0::2] = np.where(was_seen_NP, values_NP, IGNORED)
    return labels_NT
