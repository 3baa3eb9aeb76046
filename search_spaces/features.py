"""Numbers that describe an architecture to a surrogate model: of fixed length, the same in every space.

Not a cost: parameters, FLOPs and bytes are counted exactly in `operators/cost.py`.
"""

from math import log2

import numpy as np
from numpy.typing import NDArray

from search_spaces.architecture import Architecture
from search_spaces.pattern import LETTERS
from search_spaces.specs import AttentionSpec, DeltaNetSpec, FFNSpec, FlaSpec, HybridHeadSpec, OperatorSpec

THIRDS = ("early", "middle", "late")

FEATURE_NAMES: tuple[str, ...] = (
    "log2_hidden_size",
    "depth",
    "ffn_share",
    "log2_mixer_channels",
    "log2_ffn_channels",
    *(f"{third}_{letter}" for third in THIRDS for letter in (*LETTERS, "fla")),
)
"""What each feature is: `early_m2` counts the Mamba2 operators in the first third of the depth, and so on; `…_channels`
is log2 of one plus the inner channels summed over the depth, a stand-in for the parameters beside the embedding."""

_COLUMN = {letter: column for column, letter in enumerate(LETTERS)}
_FLA_COLUMN = len(LETTERS)
_NUM_COLUMNS = len(LETTERS) + 1


def architecture_features(architecture: Architecture) -> NDArray[np.float64]:
    """Return the numbers named by `FEATURE_NAMES`."""
    depth = architecture.depth
    counts = [0] * (len(THIRDS) * _NUM_COLUMNS)
    num_ffns = mixer_channels = ffn_channels = 0
    for index, spec in enumerate(architecture.operators):
        counts[index * len(THIRDS) // depth * _NUM_COLUMNS + _COLUMN.get(spec.letter, _FLA_COLUMN)] += 1
        if isinstance(spec, FFNSpec):
            num_ffns += 1
            ffn_channels += spec.intermediate_size
        else:
            mixer_channels += _inner_channels(spec)
    return np.array(
        [
            log2(architecture.hidden_size),
            depth,
            num_ffns / depth,
            log2(1 + mixer_channels),
            log2(1 + ffn_channels),
            *counts,
        ],
        dtype=np.float64,
    )


def _inner_channels(spec: OperatorSpec) -> int:
    match spec:
        case AttentionSpec() | DeltaNetSpec():
            return spec.num_heads * spec.head_dim
        case HybridHeadSpec():
            return spec.ssm.inner_size
        case FlaSpec():
            return (spec.num_heads or 1) * (spec.head_dim or 1)
        case FFNSpec():
            return spec.intermediate_size
        case _:
            return spec.inner_size
