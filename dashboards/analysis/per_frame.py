"""What was worked out from a frame of trials, kept for as long as that frame lives.

A page is made anew for every link that is followed; the frame behind it changes only when the study does. Not a store
of results: nothing is kept once nobody holds the frame.
"""

import weakref
from collections.abc import Callable, Hashable
from typing import TypeVar

import pandas as pd

T = TypeVar("T")


def per_frame(function: Callable[..., T]) -> Callable[..., T]:
    """Return the function, which works out each answer once per frame (its first argument, by identity).

    Further arguments are positional and hashable. A frame must not be written to after it was asked about.
    """
    known: dict[int, dict[tuple[Hashable, ...], T]] = {}

    def remembered(frame: pd.DataFrame, *arguments: Hashable) -> T:
        key = id(frame)
        if key not in known:
            known[key] = {}
            weakref.finalize(frame, known.pop, key, None)
        answers = known[key]
        if arguments not in answers:
            answers[arguments] = function(frame, *arguments)
        return answers[arguments]

    remembered.__doc__ = function.__doc__
    return remembered
