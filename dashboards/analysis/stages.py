"""The stages of an architecture: which block it repeats, how often, and what stands between the repetitions.

Read from the pattern, for any architecture; the genome that made it may be cut into stages in another way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from search_spaces import format_pattern

_GROUP: Final = re.compile(r"\((?P<block>[^()]*)\)x(?P<times>\d+)|(?P<letter>[^\s()]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternStage:
    """One block and how often it stands in a row."""

    start: int
    """Index of its first operator."""

    block: tuple[str, ...]
    """Letters."""

    times: int

    @property
    def num_operators(self) -> int:
        """Operators of all repetitions."""
        return len(self.block) * self.times

    def positions(self, offset: int) -> range:
        """Return the indices of the operators that stand at one place of the block, over the repetitions."""
        return range(self.start + offset, self.start + self.num_operators, len(self.block))


def stages_of(letters: Sequence[str]) -> list[PatternStage]:
    """Return the stages in order; operators between two repeated blocks are a stage that stands once."""
    found: list[PatternStage] = []
    loose: list[str] = []
    position = 0

    def end_loose() -> None:
        if loose:
            found.append(PatternStage(start=position - len(loose), block=tuple(loose), times=1))
            loose.clear()

    for group in _GROUP.finditer(format_pattern(letters)):
        if group["letter"]:
            loose.append(group["letter"])
            position += 1
            continue
        end_loose()
        stage = PatternStage(start=position, block=tuple(group["block"].split()), times=int(group["times"]))
        found.append(stage)
        position += stage.num_operators
    end_loose()
    return found
