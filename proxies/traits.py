"""What a projection knows of a model besides its perplexity: how large it is, its shape, and what it is made of."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

from operators.cost import num_parameters
from search_spaces import Architecture

PARAMETERS: Final = "ln_parameters"
DEPTH: Final = "ln_depth"
WIDTH: Final = "ln_width"
SHARE: Final = "share_"
"""Begins the name of an operator's share of the layers, its letter in patterns follows."""

Traits = Mapping[str, float]
"""By name. Models of one list have the same traits; a share that is missing is zero."""


def traits_of(architecture: Architecture) -> dict[str, float]:
    """Return the traits of a model, the one that is trained."""
    letters = architecture.letters
    shares = {f"{SHARE}{letter}": num / len(letters) for letter, num in sorted(Counter(letters).items())}
    return {
        **size_trait(num_parameters(architecture)),
        DEPTH: math.log(architecture.depth),
        WIDTH: math.log(architecture.hidden_size),
        **shares,
    }


def size_trait(parameters: float) -> dict[str, float]:
    """Return the traits of a model of which only the parameters are known."""
    return {PARAMETERS: math.log(parameters)}
