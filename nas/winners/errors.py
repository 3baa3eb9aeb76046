"""How a training ends before its time."""

from typing import ClassVar

from search_spaces import NasError


class TrainingError(NasError, RuntimeError):
    """A training cannot go on: it diverged, ran out of memory, or its state cannot be written."""

    exit_code: ClassVar[int] = 1


class DataEndedError(TrainingError):
    """A source that is to be read once has been."""
