"""An order without repeats: every sequence once, in a shuffled order, before any comes again.

The order is computed, not stored: a bijection of the numbers of the sequences, so that a corpus may be as large as it
likes and any step is found at once.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_ROUNDS: Final = 6
_MIX: Final = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def epoch_order(indices_B: NDArray[np.int64], *, num_sequences: int, seed: int) -> NDArray[np.int64]:
    """Return which sequence each place of an endless run of epochs holds.

    Args:
        indices_B: places from 0; those from e·N to (e + 1)·N - 1 are epoch e of N sequences.
        num_sequences: N, at least 1.
        seed: every epoch of every seed has an order of its own.
    """
    out_B = np.empty_like(indices_B)
    epochs_B = indices_B // num_sequences
    for epoch in np.unique(epochs_B).tolist():
        is_here = epochs_B == epoch
        out_B[is_here] = _permuted(indices_B[is_here] % num_sequences, num=num_sequences, seed=(seed, epoch))
    return out_B


def _permuted(values_B: NDArray[np.int64], *, num: int, seed: tuple[int, int]) -> NDArray[np.int64]:
    """Return where a Feistel network over the next power of 4 takes each value.

    What falls beyond `num` goes through again until it does not, which is a bijection of what is below `num`
    [Black and Rogaway 2002, "Ciphers with arbitrary finite domains"].
    """
    half_bits = max(1, -(-(num - 1).bit_length() // 2))
    # Not the stream that random starts are drawn from.
    keys = np.random.default_rng((seed[0], seed[1], 1)).integers(0, 2**64, size=_ROUNDS, dtype=np.uint64)
    permuted_B = values_B.astype(np.uint64)
    is_out_B = np.ones(len(values_B), dtype=bool)
    while is_out_B.any():
        permuted_B[is_out_B] = _feistel(permuted_B[is_out_B], keys=keys, half_bits=half_bits)
        is_out_B = permuted_B >= num
    return permuted_B.astype(np.int64)


def _feistel(values_B: NDArray[np.uint64], *, keys: NDArray[np.uint64], half_bits: int) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half_bits), np.uint64(2**half_bits - 1)
    left_B, right_B = values_B >> shift, values_B & mask
    for key in keys:
        left_B, right_B = right_B, left_B ^ (_mixed(right_B + key) & mask)
    return (left_B << shift) | right_B


def _mixed(values_B: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 well mixed bits of each value, modulo 2^64 (the finalizer of SplitMix64)."""
    for bits, factor in zip((np.uint64(30), np.uint64(27)), _MIX, strict=True):
        values_B = (values_B ^ (values_B >> bits)) * factor
    return values_B ^ (values_B >> np.uint64(31))
