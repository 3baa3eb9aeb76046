"""Phonebook lookup [arXiv 2406.07887, 3.3.2]: pure Mamba models fail it where hybrids with some attention pass.

A list of names with numbers; behind it a name is asked for, and its number has to be given digit by digit. Names are
two tokens that many entries share, so neither alone finds the entry. Nothing says in advance which entry will be asked
for: the whole book has to be kept, or looked back at.

The source asks pretrained models one question. Here `num_questions` of them may follow one book, for a signal that a
small model learns from.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from proxies.probes.task import AnsweredFrom, Questions, check_at_least, distinct, unasked

_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Phonebook:
    """Give the number of a name."""

    answered_from: ClassVar[AnsweredFrom] = "every_token"

    num_entries: int = 20
    num_digits: int = 4
    num_given_names: int = 16
    num_family_names: int = 16
    num_questions: int = 1

    def __post_init__(self) -> None:
        check_at_least(self, num_entries=1, num_digits=1, num_given_names=1, num_questions=1)
        # Every entry has a name of its own, and every question asks for another entry.
        check_at_least(self, num_family_names=-(-self.num_entries // self.num_given_names))
        check_at_least(self, num_entries=self.num_questions)

    @property
    def vocab_size(self) -> int:
        """Digits, given names, family names, line end, question mark."""
        return _DIGITS + self.num_given_names + self.num_family_names + 2

    @property
    def num_tokens(self) -> int:
        """An entry and a question are a mark, a name and a number; the last digit of all is only asked for."""
        return (self.num_entries + self.num_questions) * (3 + self.num_digits) - 1

    @property
    def chance(self) -> float:
        """Every digit is as likely."""
        return 1 / _DIGITS

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh books."""
        line_end, question = self.vocab_size - 2, self.vocab_size - 1
        names_NE = distinct(num_sequences, self.num_entries, of=self.num_given_names * self.num_family_names, rng=rng)
        lines_NEL = np.empty((num_sequences, self.num_entries, 3 + self.num_digits), dtype=np.int64)
        lines_NEL[:, :, 0] = line_end
        lines_NEL[:, :, 1] = _DIGITS + names_NE // self.num_family_names
        lines_NEL[:, :, 2] = _DIGITS + self.num_given_names + names_NE % self.num_family_names
        lines_NEL[:, :, 3:] = rng.integers(_DIGITS, size=(num_sequences, self.num_entries, self.num_digits))
        asked_NQ = distinct(num_sequences, self.num_questions, of=self.num_entries, rng=rng)
        questions_NQL = np.take_along_axis(lines_NEL, asked_NQ[:, :, None], axis=1)
        questions_NQL[:, :, 0] = question
        tokens_NT = np.concatenate((lines_NEL, questions_NQL), axis=1).reshape(num_sequences, -1)
        labels_NT = unasked(tokens_NT)
        num_book_tokens = lines_NEL[0].size
        # After the name and after every digit but the last, the next digit.
        is_digit_T = np.arange(tokens_NT.shape[1] - num_book_tokens) % (3 + self.num_digits) >= 3
        answered_T = num_book_tokens + np.flatnonzero(is_digit_T)
        labels_NT[:, answered_T - 1] = tokens_NT[:, answered_T]
        return Questions(tokens=tokens_NT[:, :-1], labels=labels_NT[:, :-1])
