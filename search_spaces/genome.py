"""What a staged search recombines: units in blocks, blocks repeated in stages, stages under one width.

Only structure: which genomes a space allows is said in `blocks.py` and `staged.py`, sizes in `dimensions.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.errors import SpecError
from search_spaces.pattern import LETTERS, is_letter, near_letter, parse_pattern

MIXERS: tuple[str, ...] = tuple(letter for letter in LETTERS if letter != "f")
"""Letters of the operators that mix tokens."""

_STAGE = re.compile(r"\s*\((?P<block>[^()]*)\)\s*x\s*(?P<repeats>\d+)\s*")


@dataclass(frozen=True, slots=True)
class Unit:
    """One token mixer and the FFNs after it."""

    mixer: str
    num_ffns: int

    def __post_init__(self) -> None:
        if not isinstance(self.mixer, str) or self.mixer == "f" or not is_letter(self.mixer):
            raise SpecError(f"A unit needs a token mixer; got {self.mixer!r}.{near_letter(str(self.mixer))}")
        if self.num_ffns < 0:
            raise SpecError(f"Unit.num_ffns must be at least 0; got {self.num_ffns}.")


@dataclass(frozen=True, slots=True)
class Block:
    """Units in order: what a stage repeats."""

    units: tuple[Unit, ...]

    def __post_init__(self) -> None:
        if not self.units:
            raise SpecError("A block needs at least one unit; got none.")

    @classmethod
    def from_letters(cls, letters: Sequence[str]) -> "Block":
        """Return the block of these letters; `letters` is its inverse.

        Raises:
            SpecError: an FFN before the first mixer.
        """
        units: list[Unit] = []
        for letter in letters:
            if letter != "f":
                units.append(Unit(letter, 0))
            elif units:
                units[-1] = Unit(units[-1].mixer, units[-1].num_ffns + 1)
            else:
                raise SpecError(f"A block must begin with a token mixer; got {' '.join(letters)!r}.")
        return cls(tuple(units))

    @property
    def letters(self) -> tuple[str, ...]:
        """The operators in order."""
        result: list[str] = []
        for unit in self.units:
            result.append(unit.mixer)
            result.extend("f" * unit.num_ffns)
        return tuple(result)

    @property
    def size(self) -> int:
        """Number of operators."""
        return len(self.units) + sum(unit.num_ffns for unit in self.units)


@dataclass(frozen=True, slots=True)
class Stage:
    """One block, repeated."""

    block: Block
    repeats: int

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise SpecError(f"Stage.repeats must be at least 1; got {self.repeats}. Leave an empty stage out.")

    @property
    def size(self) -> int:
        """Number of operators."""
        return self.block.size * self.repeats


@dataclass(frozen=True, slots=True)
class StagedGenome:
    """Stages from early to late, and a width."""

    hidden_size: int
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise SpecError("A staged genome needs at least one stage; got none.")

    @classmethod
    def from_pattern(cls, pattern: str, *, hidden_size: int) -> "StagedGenome":
        """Read stages written as `(d f m2 f)x2 (a f)x1`; `pattern` is the inverse.

        Raises:
            SpecError: anything but groups with a count, or an unknown letter.
        """
        stages: list[Stage] = []
        position = 0
        while match := _STAGE.match(pattern, position):
            stages.append(Stage(Block.from_letters(parse_pattern(match["block"])), int(match["repeats"])))
            position = match.end()
        if position < len(pattern) or not stages:
            raise SpecError(f"Stages are written as (d f m2 f)x2 (a f)x1, each with its count; got {pattern!r}.")
        return cls(hidden_size, tuple(stages))

    @property
    def pattern(self) -> str:
        """The stages in pattern notation, one group a stage."""
        return " ".join(f"({' '.join(stage.block.letters)})x{stage.repeats}" for stage in self.stages)

    @property
    def letters(self) -> tuple[str, ...]:
        """All operators in order."""
        return tuple(letter for stage in self.stages for letter in stage.block.letters * stage.repeats)

    @property
    def repeats(self) -> tuple[int, ...]:
        """How often each stage repeats its block."""
        return tuple(stage.repeats for stage in self.stages)

    @property
    def depth(self) -> int:
        """Number of operators."""
        return sum(stage.size for stage in self.stages)
