"""The paper's blocks: two mixer kinds in a ratio, one FFN count.

No published winner is such a block (they mix three kinds); the grammar is for comparison with the paper's search.
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
class RatioBlocks:
    """The paper's blocks: at most two mixer kinds in a ratio, and one FFN count for the whole block [NF 2.2].

    Ratio m:n means m units of the first kind, then n of the second; 0:n has the second kind only.
    """

    grammar: ClassVar[str] = "ratio"

    mixers: tuple[str, ...]
    ratios: tuple[tuple[int, int], ...] = ((0, 1), (1, 1), (1, 2), (1, 3))
    ffns_per_mixer: tuple[int, ...] = (0, 1, 2)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mixers", checked_mixers(self.mixers))
        object.__setattr__(self, "ffns_per_mixer", checked_counts(self.ffns_per_mixer))
        try:
            ratios = tuple((first, second) for first, second in self.ratios)
        except (TypeError, ValueError):
            raise SpecError(f"ratios must be pairs such as [[0, 1], [1, 3]]; got {self.ratios!r}.") from None
        object.__setattr__(self, "ratios", ratios)
        for first, second in ratios:
            if type(first) is not int or type(second) is not int or first < 0 or second < 1:
                raise SpecError(f"A ratio must be [m, n] with m >= 0 and n >= 1; got [{first!r}, {second!r}].")
        if not ratios or len(set(ratios)) < len(ratios):
            raise SpecError(f"ratios must hold at least one ratio, each once; got {self.ratios!r}.")
        if len(self.mixers) < 2 and not any(first == 0 for first, _ in ratios):
            raise SpecError(
                f"A ratio of two mixers needs two of them; got {self.mixers}. Add a mixer or the ratio [0, 1]."
            )

    @property
    def sizes(self) -> frozenset[int]:
        """Numbers of operators a block can have."""
        return frozenset(
            (first + second) * (1 + ffns) for first, second in self._ratios for ffns in self.ffns_per_mixer
        )

    def sample(self, *, rng: np.random.Generator) -> Block:
        """Return a random block: ratio, then kinds, then FFN count, each uniform."""
        ratio = choose(self._ratios, rng)
        kinds = [str(kind) for kind in rng.permutation(self.mixers)[:2]]
        return _ratio_block(kinds[0], kinds[-1], ratio, choose(self.ffns_per_mixer, rng))

    def suggest(self, trial: SuggestingTrial, *, name: str) -> Block:
        """Return a block of a ratio, two kinds and an FFN count; a kind that is given twice is paired with the next."""
        ratio = suggested(self._ratios, trial, name=f"{name} ratio")
        first = trial.suggest_categorical(f"{name} first mixer", self.mixers)
        second = trial.suggest_categorical(f"{name} second mixer", self.mixers)
        if first == second:
            first = self.mixers[(self.mixers.index(second) + 1) % len(self.mixers)]
        return _ratio_block(first, second, ratio, suggested(self.ffns_per_mixer, trial, name=f"{name} FFNs"))

    def contains(self, block: Block) -> bool:
        """Whether the block is a ratio of at most two known kinds with one FFN count."""
        first, second, ratio, ffns = _read_ratio(block)
        return (
            block == _ratio_block(first, second, ratio, ffns)
            and ratio in self.ratios
            and {first, second} <= set(self.mixers)
            and ffns in self.ffns_per_mixer
        )

    def operator_moves(self, block: Block) -> Moves:
        """Return the blocks with one kind replaced by another that is not in the block."""
        first, second, ratio, ffns = _read_ratio(block)
        moves: Moves = []
        for new in self.mixers:
            if new in (first, second):
                continue
            moves.append((_ratio_block(first, new, ratio, ffns), f"{word_for(second)} → {word_for(new)}"))
            if ratio[0]:
                moves.append((_ratio_block(new, second, ratio, ffns), f"{word_for(first)} → {word_for(new)}"))
        return moves

    def ratio_moves(self, block: Block) -> Moves:
        """Return the blocks with another ratio; from 0:n a second kind joins, to 0:n either kind leaves."""
        first, second, ratio, ffns = _read_ratio(block)
        moves: Moves = []
        for new in self._ratios:
            if new == ratio:
                continue
            words = f"ratio {ratio[0]}:{ratio[1]} → {new[0]}:{new[1]}"
            if ratio[0] and new[0]:
                moves.append((_ratio_block(first, second, new, ffns), words))
            elif ratio[0]:
                moves.extend((_ratio_block(kept, kept, new, ffns), words) for kept in (first, second))
            elif not new[0]:
                moves.append((_ratio_block(second, second, new, ffns), words))
            else:
                others = [kind for kind in self.mixers if kind != second]
                moves.extend(
                    (_ratio_block(kind, second, new, ffns), f"{words} with {word_for(kind)}") for kind in others
                )
        return moves

    def ffn_moves(self, block: Block) -> Moves:
        """Return the blocks with another FFN count."""
        first, second, ratio, ffns = _read_ratio(block)
        return [
            (_ratio_block(first, second, ratio, new), f"FFNs per mixer {ffns} → {new}")
            for new in self.ffns_per_mixer
            if new != ffns
        ]

    @property
    def _ratios(self) -> tuple[tuple[int, int], ...]:
        return self.ratios if len(self.mixers) > 1 else tuple(ratio for ratio in self.ratios if ratio[0] == 0)


def _ratio_block(first: str, second: str, ratio: tuple[int, int], ffns: int) -> Block:
    return Block((Unit(first, ffns),) * ratio[0] + (Unit(second, ffns),) * ratio[1])


def _read_ratio(block: Block) -> tuple[str, str, tuple[int, int], int]:
    """Return first kind, second kind, ratio and FFN count; with one kind both are that kind."""
    units = block.units
    first, second = units[0].mixer, units[-1].mixer
    if first == second:
        return first, second, (0, len(units)), units[0].num_ffns
    count = sum(unit.mixer == first for unit in units)
    return first, second, (count, len(units) - count), units[0].num_ffns
