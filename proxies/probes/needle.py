"""Needle retrieval: a few pairs lost in filler, and a question at the end, at lengths as trained and beyond.

The test of [github.com/gkamradt/LLMTest_NeedleInAHaystack] in the synthetic form of RULER, with other needles to
distract [arXiv 2404.06654, 3.1]. A needle is a mark, a key and a value; behind the haystack keys are asked for. The
length is the difficulty: a state must not wash out over filler, and attention must not be lost in it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from proxies.probes.task import AnsweredFrom, Questions, check_at_least, distinct, unasked


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleRetrieval:
    """Give the value of a key that was hidden in filler."""

    answered_from: ClassVar[AnsweredFrom] = "every_token"

    num_tokens: int = 256
    num_needles: int = 4
    num_questions: int = 1
    """How many of the needles are asked for."""

    num_keys: int = 16
    num_values: int = 16
    num_fillers: int = 16
    """Different tokens the haystack is made of."""

    def __post_init__(self) -> None:
        check_at_least(self, num_needles=1, num_questions=1, num_values=2, num_fillers=1)
        check_at_least(self, num_needles=self.num_questions, num_keys=self.num_needles)
        check_at_least(self, num_tokens=3 * self.num_needles + 2 * self.num_questions)

    @property
    def vocab_size(self) -> int:
        """Keys, values, fillers, the mark of a needle and that of a question."""
        return self.num_keys + self.num_values + self.num_fillers + 2

    @property
    def chance(self) -> float:
        """Every value is as likely."""
        return 1 / self.num_values

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh haystacks."""
        needle, question = self.vocab_size - 2, self.vocab_size - 1
        num_hay = self.num_tokens - 2 * self.num_questions
        first_filler = self.num_keys + self.num_values
        tokens_NT = rng.integers(first_filler, first_filler + self.num_fillers, size=(num_sequences, self.num_tokens))
        keys_NM = distinct(num_sequences, self.num_needles, of=self.num_keys, rng=rng)
        values_NM = rng.integers(self.num_keys, first_filler, size=keys_NM.shape)
        # Places among the filler, each then moved by the needles before it, so that none overlap.
        num_gaps = num_hay - 3 * self.num_needles + 1
        gaps_NM = np.sort(rng.integers(num_gaps, size=keys_NM.shape), axis=1)
        places_NM = gaps_NM + 3 * np.arange(self.num_needles)
        rows_N1 = np.arange(num_sequences)[:, None]
        tokens_NT[rows_N1, places_NM] = needle
        tokens_NT[rows_N1, places_NM + 1] = keys_NM
        tokens_NT[rows_N1, places_NM + 2] = values_NM
        asked_NQ = distinct(num_sequences, self.num_questions, of=self.num_needles, rng=rng)
        tokens_NT[:, num_hay::2] = question
        tokens_NT[:, num_hay + 1 :: 2] = np.take_along_axis(keys_NM, asked_NQ, axis=1)
        labels_NT = unasked(tokens_NT)
        labels_NT[:, num_hay + 1 :: 2] = np.take_along_axis(values_NM, asked_NQ, axis=1)
        return Questions(tokens=tokens_NT, labels=labels_NT)
