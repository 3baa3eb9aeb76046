"""Memorisation of MAD: facts that stand in no sequence and have to be learnt by heart [arXiv 2403.17844, 3.1].

Keys alternate with an insert token, after which the key's value is asked for. The table of values is fixed, so it can
only be in the weights: the one task here that channel mixers decide. Held-out sequences ask the same facts.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from proxies.probes.task import AnsweredFrom, Questions, check_at_least, unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class Memorization:
    """Know the value of every key; the defaults are MAD's baseline."""

    answered_from: ClassVar[AnsweredFrom] = "every_token"

    num_pairs: int = 16
    num_facts: int = 127
    """Keys, each with a value of its own."""

    table_seed: int = 0
    """Decides which value a key has."""

    def __post_init__(self) -> None:
        check_at_least(self, num_pairs=1, num_facts=2, table_seed=0)

    @property
    def vocab_size(self) -> int:
        """Keys, values, insert token."""
        return 2 * self.num_facts + 1

    @property
    def num_tokens(self) -> int:
        """A key and an insert token a pair."""
        return 2 * self.num_pairs

    @property
    def chance(self) -> float:
        """Every value is as likely."""
        return 1 / self.num_facts

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh sequences of keys; what they are asked about is always the same table."""
        values_K = self.num_facts + np.random.default_rng(self.table_seed).permutation(self.num_facts)
        keys_NP = rng.integers(self.num_facts, size=(num_sequences, self.num_pairs))
        tokens_NT = np.full((num_sequences, self.num_tokens), 2 * self.num_facts, dtype=np.int64)
        tokens_NT[:, 0::2] = keys_NP
        labels_NT = unasked(tokens_NT)
        labels_NT[:, 1::2] = values_K[keys_NP]
        return Questions(tokens=tokens_NT, labels=labels_NT)
