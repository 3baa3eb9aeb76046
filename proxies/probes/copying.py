"""Selective copying [arXiv 2312.00752, 4.1.1], as MAD has it [arXiv 2403.17844, 3.1].

Tokens to remember stand at random places among blanks; behind a copy token they are asked for in their order, one after
each further blank. A model has to tell what matters from what does not, and where it came in the order.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from proxies.probes.task import AnsweredFrom, Questions, check_at_least, put, unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectiveCopying:
    """Give back the tokens among blanks, in order; the defaults are MAD's baseline."""

    answered_from: ClassVar[AnsweredFrom] = "every_token"

    num_tokens: int = 256
    num_to_copy: int = 16
    num_symbols: int = 14
    """Different tokens that may have to be copied."""

    def __post_init__(self) -> None:
        check_at_least(self, num_to_copy=1, num_symbols=2)
        check_at_least(self, num_tokens=2 * self.num_to_copy + 1)

    @property
    def vocab_size(self) -> int:
        """Symbols, blank, copy token."""
        return self.num_symbols + 2

    @property
    def chance(self) -> float:
        """Every symbol is as likely."""
        return 1 / self.num_symbols

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh sequences."""
        blank, copy = self.num_symbols, self.num_symbols + 1
        tokens_NT = np.full((num_sequences, self.num_tokens), blank, dtype=np.int64)
        num_before = self.num_tokens - self.num_to_copy - 1
        symbols_NC = rng.integers(self.num_symbols, size=(num_sequences, self.num_to_copy))
        places_NC = np.sort(rng.random((num_sequences, num_before)).argsort(axis=1)[:, : self.num_to_copy], axis=1)
        put(tokens_NT, places_NC, symbols_NC)
        tokens_NT[:, num_before] = copy
        labels_NT = unasked(tokens_NT)
        labels_NT[:, num_before + 1 :] = symbols_NC
        return Questions(tokens=tokens_NT, labels=labels_NT)
