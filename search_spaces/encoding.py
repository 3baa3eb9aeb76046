"""Find the stages a sequence of operators was made of, so that a known architecture can seed a staged search.

Letters only: whether their dimensions agree is checked by the space that asks.
"""

from functools import cache

from search_spaces.blocks import BlockGrammar
from search_spaces.errors import SpecError
from search_spaces.genome import Block, Stage


def stages_of(
    letters: tuple[str, ...], *, blocks: BlockGrammar, num_stages: int, max_repeats: int
) -> tuple[Stage, ...] | None:
    """Return the fewest stages that spell `letters`, or none; of equally many, those with the smallest first block."""

    @cache
    def read(start: int, stages_left: int) -> tuple[Stage, ...] | None:
        if start == len(letters):
            return ()
        if stages_left == 0 or letters[start] == "f":
            return None
        for size in sorted(blocks.sizes):
            block = _block(letters[start : start + size], blocks=blocks, size=size)
            if block is None:
                continue
            repeats = 1
            while repeats < max_repeats and _follows(letters, block.letters, start + repeats * size):
                repeats += 1
            for count in range(repeats, 0, -1):
                rest = read(start + count * size, stages_left - 1)
                if rest is not None:
                    return (Stage(block, count), *rest)
        return None

    for allowed in range(1, num_stages + 1):
        stages = read(0, allowed)
        if stages is not None:
            return stages
    return None


def _block(letters: tuple[str, ...], *, blocks: BlockGrammar, size: int) -> Block | None:
    if len(letters) < size:
        return None
    try:
        block = Block.from_letters(letters)
    except SpecError:
        return None
    return block if blocks.contains(block) else None


def _follows(letters: tuple[str, ...], part: tuple[str, ...], start: int) -> bool:
    return letters[start : start + len(part)] == part
