"""Errors of the search itself. The root and the exit codes are in `search_spaces/errors.py`."""

from typing import ClassVar

from search_spaces import NasError


class ConfigError(NasError, ValueError):
    """A configuration breaks a rule."""

    exit_code: ClassVar[int] = 3


class InfeasibleError(NasError, ValueError):
    """No genome of the space can meet the constraints."""

    exit_code: ClassVar[int] = 3


class ResourceError(NasError, RuntimeError):
    """The cluster cannot be reached or cannot ever hold a candidate."""

    exit_code: ClassVar[int] = 4


class RunDirectoryError(NasError, RuntimeError):
    """The run directory exists, is locked, or is none."""

    exit_code: ClassVar[int] = 5


class NoStudyError(RunDirectoryError):
    """A run directory whose search has not begun a study."""


class StudyInUseError(RunDirectoryError):
    """A study of that name exists, or another driver writes it."""


class StorageError(NasError, RuntimeError):
    """Where a study is kept cannot be reached, or not within the patience."""

    exit_code: ClassVar[int] = 4


class StudyError(NasError, RuntimeError):
    """A study cannot be read or does not belong to this search."""

    exit_code: ClassVar[int] = 1


class CheckpointError(NasError, RuntimeError):
    """A model's folder is missing, not whole, or of another architecture."""

    exit_code: ClassVar[int] = 1


class ExportError(NasError, RuntimeError):
    """A format cannot hold an architecture or its weights, or what was written is not the model."""

    exit_code: ClassVar[int] = 1


class ModelImportError(NasError, ValueError):
    """A published model's folder cannot be read, or holds what no operator here computes."""

    exit_code: ClassVar[int] = 1


class SearchFailedError(NasError, RuntimeError):
    """The search ended without what it was for."""

    exit_code: ClassVar[int] = 1


class UsageError(NasError, ValueError):
    """A command was asked for something it cannot mean."""

    exit_code: ClassVar[int] = 2
