"""What a staged space asks of a grammar of blocks.

A grammar knows one block; how blocks are repeated and stacked is the space's business (`staged.py`). The grammars are
in `ratio_blocks.py` (the paper's) and `free_blocks.py`.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from search_spaces.errors import SpecError
from search_spaces.genome import MIXERS, Block
from search_spaces.pattern import is_letter, near_letter
from search_spaces.space import SuggestingTrial

T = TypeVar("T")

Moves = list[tuple[Block, str]]
"""Neighbouring blocks, each with words that say what changed."""


class BlockGrammar(Protocol):
    """Which blocks exist, and which of them differ in one factor."""

    @property
    def mixers(self) -> tuple[str, ...]:
        """Letters of the token mixers in use."""

    @property
    def ffns_per_mixer(self) -> tuple[int, ...]:
        """How many FFNs may follow a mixer."""

    @property
    def sizes(self) -> frozenset[int]:
        """Numbers of operators a block can have."""

    def sample(self, *, rng: np.random.Generator) -> Block:
        """Return a random block."""

    def suggest(self, trial: SuggestingTrial, *, name: str) -> Block:
        """Return the block of the parameters a trial gives, each called by `name` and its own; always the same ones."""

    def contains(self, block: Block) -> bool:
        """Whether the grammar makes this block."""

    def operator_moves(self, block: Block) -> Moves:
        """Return the blocks with one operator replaced [NF C.2, factor 1]."""

    def ratio_moves(self, block: Block) -> Moves:
        """Return the blocks with another operator ratio [NF C.2, factor 2]."""

    def ffn_moves(self, block: Block) -> Moves:
        """Return the blocks with another FFN ratio [NF C.2, factor 3]."""


def choose(options: Sequence[T], rng: np.random.Generator) -> T:
    """Return one of the options, each equally likely."""
    return options[int(rng.integers(len(options)))]


def suggested(options: Sequence[T], trial: SuggestingTrial, *, name: str) -> T:
    """Return the option whose place a trial gives: options in an order that samplers may learn from."""
    return options[trial.suggest_int(name, 0, len(options) - 1)]


def checked_mixers(mixers: Iterable[str]) -> tuple[str, ...]:
    """Return the mixers of a grammar.

    Raises:
        SpecError: none, one given twice, an FFN or an unknown letter.
    """
    if isinstance(mixers, str) or not isinstance(mixers, Iterable):
        raise SpecError(f"mixers must be a list of letters such as [a, m2, d]; got {mixers!r}.")
    result = tuple(mixers)
    for letter in result:
        if letter == "f":
            raise SpecError("mixers must be token mixers; got 'f'. FFNs are counted by ffns_per_mixer.")
        if not isinstance(letter, str) or not is_letter(letter):
            raise SpecError(f"mixers has the unknown letter {letter!r}.{near_letter(str(letter))}")
    if not result or len(set(result)) < len(result):
        raise SpecError(
            f"mixers must hold at least one letter, each once; got {list(result)}. Known: {', '.join(MIXERS)}."
        )
    return result


def checked_counts(counts: Iterable[int]) -> tuple[int, ...]:
    """Return the FFN counts of a grammar in ascending order.

    Raises:
        SpecError: none, one given twice, or a negative one.
    """
    result = tuple(counts) if isinstance(counts, Iterable) else ()
    if not result or not all(type(n) is int and n >= 0 for n in result) or len(set(result)) < len(result):
        raise SpecError(f"ffns_per_mixer must hold at least one count of 0 or more, each once; got {counts!r}.")
    return tuple(sorted(result))
