"""Multi-query associative recall, MQAR [arXiv 2312.04927, 3.2 and appendix].

First all pairs `k v k v …`, each key once; then the keys come again among filler, each at a place of its own, and their
values are asked for. Gaps between a pair and its query follow a power law, as repeated bigrams of text do. How many
pairs a fixed-size state can hold is what separates recurrent models from attention.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from proxies.errors import SettingsError
from proxies.probes.task import AnsweredFrom, Questions, check_at_least, distinct, put, unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiQueryRecall:
    """Recall the value of every key, once."""

    answered_from: ClassVar[AnsweredFrom] = "every_token"

    num_tokens: int = 64
    num_pairs: int = 4
    num_keys: int = 4096
    """The vocabulary keys are drawn from."""

    num_values: int = 4096
    power: float = 0.01
    """Of the power law; the nearer to 0 the nearer are queries to the pairs, 1 is uniform."""

    def __post_init__(self) -> None:
        check_at_least(self, num_pairs=1)
        check_at_least(self, num_tokens=4 * self.num_pairs, num_keys=self.num_pairs, num_values=max(2, self.num_pairs))
        if self.num_tokens % 2 or not 0 < self.power <= 1:
            raise SettingsError(
                "MultiQueryRecall needs an even number of tokens and a power above 0 and up to 1; got "
                f"{self.num_tokens} tokens and {self.power!r}."
            )

    @property
    def vocab_size(self) -> int:
        """Filler, keys, values."""
        return 1 + self.num_keys + self.num_values

    @property
    def chance(self) -> float:
        """Every value is as likely."""
        return 1 / self.num_values

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh sequences."""
        keys_NP = 1 + distinct(num_sequences, self.num_pairs, of=self.num_keys, rng=rng)
        values_NP = 1 + self.num_keys + distinct(num_sequences, self.num_pairs, of=self.num_values, rng=rng)
        tokens_NT = np.zeros((num_sequences, self.num_tokens), dtype=np.int64)
        end = 2 * self.num_pairs
        tokens_NT[:, 0:end:2], tokens_NT[:, 1:end:2] = keys_NP, values_NP
        queries_NP = end + 2 * self._gaps(num_sequences, rng=rng)
        put(tokens_NT, queries_NP, keys_NP)
        labels_NT = unasked(tokens_NT)
        put(labels_NT, queries_NP, values_NP)
        return Questions(tokens=tokens_NT, labels=labels_NT)

    def _gaps(self, num_sequences: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return a different place for each key, in the order of a draw without replacement by the power law."""
        num_places = (self.num_tokens - 2 * self.num_pairs) // 2
        logarithms_G = (self.power - 1) * np.log(np.arange(1, num_places + 1))
        # Adding Gumbel noise and sorting draws without replacement.
        noisy_NG = logarithms_G + rng.gumbel(size=(num_sequences, num_places))
        return (-noisy_NG).argsort(axis=1)[:, : self.num_pairs].astype(np.int64)
