"""The storage of a search while its driver writes: claimed before anything is measured, free again at its end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from optuna.storages import BaseStorage

from nas.config import SearchConfig
from nas.errors import NoStudyError, StudyInUseError
from nas.run_directory import RunDirectory
from nas.storage.open import journal_storage, open_storage
from nas.storage.patience import PatientStorage
from nas.storage.url import masked
from nas.study_reader import StudyReader

Opening = Callable[[], BaseStorage]
"""Opens a storage where it is not open yet: a journal only begins when there is something to write."""


@contextmanager
def claimed_storage(
    config: SearchConfig, directory: RunDirectory, *, is_new: bool, notice: Callable[[str], None]
) -> Iterator[Opening]:
    """Keep other drivers from a search's study.

    Args:
        config: says where the study lies.
        directory: the run directory, which need not be there yet.
        is_new: there must be no such study, or one that nothing was written to.
        notice: is told when the storage is gone and when it is back.

    Raises:
        StudyInUseError: another driver writes the study, or a new one's name is taken.
        StorageError: the database cannot be reached.
    """
    url, name = config.study.storage, config.study_name
    if url is None:
        yield lambda: journal_storage(directory.journal, notice=notice)
        return
    storage = open_storage(url, notice=notice)
    assert isinstance(storage, PatientStorage)
    storage.claim(name)
    try:
        if is_new and _num_trials(storage, name):
            raise StudyInUseError(
                f"A new search needs a name that its storage does not have; {masked(url)} has a study {name!r}. "
                "Give another study.name, or continue that search with `nas resume` and its run directory."
            )
        yield lambda: storage
    finally:
        storage.release()


def study_of(config: SearchConfig, directory: RunDirectory) -> StudyReader[Any] | None:
    """Return the study of a run, or none where it has not begun one.

    Raises:
        NoStudyError: the run has begun candidates, but the storage it names does not have them.
        StudyError: the study cannot be read.
        StorageError: the database cannot be reached.
    """
    where = config.study.storage or directory.journal
    try:
        return StudyReader(where, name=config.study_name, space=config.load_space(), objectives=config.objectives)
    except (FileNotFoundError, NoStudyError):
        if not (directory.path / "trials").exists():
            return None
        shown = masked(str(where)) if config.study.storage else where
        raise NoStudyError(
            f"The storage of a run that has begun candidates must hold its study; {shown} has none of the name "
            f"{config.study_name!r}. Name the storage that has it, or copy it there first: "
            f"nas study export {directory.path} --storage {shown} --name {config.study_name}"
        ) from None


def _num_trials(storage: BaseStorage, name: str) -> int:
    if name not in {study.study_name for study in storage.get_all_studies()}:
        return 0
    return storage.get_n_trials(storage.get_study_id_from_name(name))
