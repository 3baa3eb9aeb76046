"""How long a training step takes here: timed on the architecture itself, building and validating left out."""

from dataclasses import replace
from typing import Final

from proxies.data import Corpus
from proxies.settings import TrainingSettings
from proxies.short_training import short_training
from search_spaces.architecture import Architecture

_FEW: Final = 2
_MORE: Final = 8


def seconds_per_step(architecture: Architecture, *, corpus: Corpus, settings: TrainingSettings) -> float | None:
    """Return the seconds of one step, from the difference of two short runs; none where it cannot be trained here.

    Raises:
        DataError: the corpus is too short for the settings, or the vocabulary too small for the corpus.
        UnavailableError: no such device.
    """
    seconds = []
    # The first run pays for what is loaded once.
    for steps in (_FEW, _FEW, _MORE):
        short = replace(settings, steps=steps, validation_sequences=1, validation_every=None, flops=None)
        result = short_training(architecture, corpus=corpus, settings=short, seed=0)
        if result.status in ("out_of_memory", "unbuildable"):
            return None
        seconds.append(result.seconds)
    return max(0.0, seconds[2] - seconds[1]) / (_MORE - _FEW)
