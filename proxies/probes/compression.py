"""Compression of MAD: everything into the stream at one token [arXiv 2403.17844, 3.1].

Random tokens end in a compression token. The model's output there, with the sine and cosine of a position added, must
let a small MLP name the token at that position (`decoder.py`). Tested is how much a model can put into one vector.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from proxies.probes.task import IGNORED, AnsweredFrom, Questions, check_at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Name every token from the last output alone; the defaults are MAD's baseline."""

    answered_from: ClassVar[AnsweredFrom] = "last_token"

    num_tokens: int = 32
    """The compression token included, which is not asked for."""

    num_symbols: int = 15

    def __post_init__(self) -> None:
        check_at_least(self, num_tokens=2, num_symbols=2)

    @property
    def vocab_size(self) -> int:
        """Symbols and the compression token."""
        return self.num_symbols + 1

    @property
    def chance(self) -> float:
        """Every symbol is as likely."""
        return 1 / self.num_symbols

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh sequences."""
        tokens_NT = rng.integers(self.num_symbols, size=(num_sequences, self.num_tokens))
        labels_NT = tokens_NT.copy()
        tokens_NT[:, -1] = self.num_symbols
        labels_NT[:, -1] = IGNORED
        return Questions(tokens=tokens_NT, labels=labels_NT)
