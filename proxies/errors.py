"""Errors of text sources, corpora and training settings."""

from typing import ClassVar

from search_spaces.errors import NasError


class DataError(NasError, ValueError):
    """Text cannot be read, is not what it was said to be, or is too little to train on."""

    exit_code: ClassVar[int] = 3


class SettingsError(NasError, ValueError):
    """A training setting breaks a rule."""

    exit_code: ClassVar[int] = 3


class LostProcessError(NasError, RuntimeError):
    """One of several processes that trained a model together ended without a result: killed, or crashed."""


class PeerLostError(NasError, RuntimeError):
    """A process could not exchange numbers with the others; why is theirs to say."""


class FidelityError(NasError, ValueError):
    """Scores cannot be compared with what they stand for."""

    exit_code: ClassVar[int] = 1
