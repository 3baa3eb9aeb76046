"""Errors of text sources, corpora and training settings."""

from typing import ClassVar

from search_spaces.errors import NasError


class DataError(NasError, ValueError):
    """Text cannot be read, is not what it was said to be, or is too little to train on."""

    exit_code: ClassVar[int] = 3


class SettingsError(NasError, ValueError):
    """A training setting breaks a rule."""

    exit_code: ClassVar[int] = 3
