"""Blocks without the paper's ratios: any short sequence of mixers, each with its own FFN count.

With four mixers the blocks of both published winners are such blocks.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from search_spaces.blocks import Moves, checked_counts, checked_mixers, choose, suggested
from search_spaces.errors import SpecError
from search_spaces.genome import Block, Unit
from search_spaces.pattern import word_for
from search_spaces.space import SuggestingTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeBlocks:
    """Any sequence of up to `max_mixers` units, each with its own FFN count."""

    grammar: ClassVar[str] = "free"

    mixers: tuple[str, ...]
    max_mixers: int = 4
    ffns_per_mixer: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixers", checked_mixers(self.mixers))
        object.__setattr__(self, "ffns_per_mixer", checked_counts(self.ffns_per_mixer))
        if type(self.max_mixers) is not int or self.max_mixers < 1:
            raise SpecError(f"max_mixers must be a positive integer; got {self.max_mixers!r}.")

    @property
    def sizes(self) -> frozenset[int]:
        """Numbers of operators a block can have."""
        reachable = totals = frozenset({0})
        for _ in range(self.max_mixers):
            totals = frozenset(total + 1 + ffns for total in totals for ffns in self.ffns_per_mixer)
            reachable |= totals
        return reachable - {0}

    def sample(self, *, rng: np.random.Generator) -> Block:
        """Return a random block: length, then each unit, uniform."""
        length = int(rng.integers(1, self.max_mixers + 1))
        return Block(tuple(Unit(choose(self.mixers, rng), choose(self.ffns_per_mixer, rng)) for _ in range(length)))

    def suggest(self, trial: SuggestingTrial, *, name: str) -> Block:
        """Return a block of a length, a mixer and an FFN count for every place; those beyond the length are left."""
        length = trial.suggest_int(f"{name} mixers", 1, self.max_mixers)
        units = [
            Unit(
                trial.suggest_categorical(f"{name} mixer {place}", self.mixers),
                suggested(self.ffns_per_mixer, trial, name=f"{name} FFNs {place}"),
            )
            for place in range(1, self.max_mixers + 1)
        ]
        return Block(tuple(units[:length]))

    def contains(self, block: Block) -> bool:
        """Whether the block is short enough and made of known units."""
        return len(block.units) <= self.max_mixers and all(
            unit.mixer in self.mixers and unit.num_ffns in self.ffns_per_mixer for unit in block.units
        )

    def operator_moves(self, block: Block) -> Moves:
        """Return the blocks with one mixer replaced."""
        return [
            (
                _with_unit(block, index, Unit(new, unit.num_ffns)),
                f"{word_for(unit.mixer)} → {word_for(new)}",
            )
            for index, unit in enumerate(block.units)
            for new in self.mixers
            if new != unit.mixer
        ]

    def ratio_moves(self, block: Block) -> Moves:
        """Return the blocks with one unit inserted or removed, or two swapped."""
        units = block.units
        moves: Moves = []
        if len(units) < self.max_mixers:
            moves.extend(
                (Block((*units[:index], Unit(new, ffns), *units[index:])), f"insert {word_for(new)}")
                for index in range(len(units) + 1)
                for new in self.mixers
                for ffns in self.ffns_per_mixer
            )
        if len(units) > 1:
            moves.extend(
                (Block((*units[:index], *units[index + 1 :])), f"remove {word_for(unit.mixer)}")
                for index, unit in enumerate(units)
            )
        for left, first in enumerate(units):
            for right in range(left + 1, len(units)):
                if first.mixer != units[right].mixer:
                    swapped = list(units)
                    swapped[left], swapped[right] = units[right], first
                    words = f"swap {word_for(first.mixer)} and {word_for(units[right].mixer)}"
                    moves.append((Block(tuple(swapped)), words))
        return moves

    def ffn_moves(self, block: Block) -> Moves:
        """Return the blocks with another FFN count after one mixer."""
        return [
            (
                _with_unit(block, index, Unit(unit.mixer, new)),
                f"FFNs after {word_for(unit.mixer)} {unit.num_ffns} → {new}",
            )
            for index, unit in enumerate(block.units)
            for new in self.ffns_per_mixer
            if new != unit.num_ffns
        ]


def _with_unit(block: Block, index: int, unit: Unit) -> Block:
    return Block((*block.units[:index], unit, *block.units[index + 1 :]))
