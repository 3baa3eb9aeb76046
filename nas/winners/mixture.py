"""Which source each sequence of a stage is from, and which of that source's it is: a pure function of its number.

The numbers of a source's sequences have no gaps, so that epochs of each source hold each of its sequences once, and any
step is found without those before it. What the sequences say is `texts.py`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SCALE_BITS: Final = 20
"""Weights are kept to a millionth."""

_MOST_ROWS: Final = 2 ** (62 - _SCALE_BITS)
"""Beyond which products of 64 bits overflow."""


class MixedRows:
    """Deals the sequences of a stage out to sources, as evenly as whole numbers allow.

    Among any n sequences in a row a source has its share of n to within a few.
    """

    def __init__(self, weights: Sequence[float], *, seed: int) -> None:
        """Take the sources' weights; the seed decides where the pattern begins."""
        rest = np.cumsum(np.asarray(weights, dtype=np.float64)[::-1])[::-1]
        scale = 2**_SCALE_BITS
        # Each source takes its share of what the sources before it left.
        self._shares = [round(float(weight / left) * scale) for weight, left in zip(weights, rest, strict=True)]
        self._phases = np.random.default_rng((seed, 2)).integers(0, scale, size=len(weights)).tolist()

    def deal(self, rows_B: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the source of each sequence and its number among that source's."""
        assert rows_B.size == 0 or int(rows_B.max()) < _MOST_ROWS
        sources_B = np.full(len(rows_B), len(self._shares) - 1, dtype=np.int64)
        numbers_B = rows_B.copy()
        is_left_B = np.ones(len(rows_B), dtype=bool)
        for source, (share, phase) in enumerate(zip(self._shares[:-1], self._phases, strict=False)):
            before_B = (numbers_B * share + phase) >> _SCALE_BITS
            is_here_B = is_left_B & (((numbers_B + 1) * share + phase) >> _SCALE_BITS > before_B)
            sources_B[is_here_B] = source
            is_left_B &= ~is_here_B
            numbers_B = np.where(is_here_B, before_B, np.where(is_left_B, numbers_B - before_B, numbers_B))
        return sources_B, numbers_B
