"""A run directory made again from an exported study: its journal, configuration and environment; no latency table."""

from pathlib import Path

from optuna.storages import BaseStorage

from nas.config import JOURNAL_STUDY, read_config
from nas.errors import NoStudyError
from nas.run_directory import RunDirectory, write_atomically
from nas.storage.open import journal_storage
from nas.study_export import CONFIG, ENVIRONMENT, exported_files, import_study


def import_run(source: BaseStorage, *, name: str, path: Path) -> int:
    """Make a run directory from a study and return how many trials it has.

    Args:
        source: where the study lies.
        name: of the study.
        path: a new or empty directory.

    Raises:
        RunDirectoryError: something is there already.
        NoStudyError: there is no such study, or no configuration went with it.
        ConfigError: this version cannot read its configuration.
    """
    RunDirectory.check_free(path)
    names = [study.study_name for study in source.get_all_studies()]
    if name not in names:
        raise NoStudyError(f"The storage holds {', '.join(map(repr, names)) or 'no study'}; got {name!r}. Name one.")
    files = exported_files(source, name)
    if CONFIG not in files:
        raise NoStudyError(
            f"A run directory is made from a study that `nas study export` wrote; {name!r} has no configuration with "
            "it. Copy it into a storage with --into, and resume it from its own run directory."
        )
    # The study lies in the new directory's journal now.
    config = read_config(files[CONFIG], where=f"study {name!r}", overrides=("study={}",))
    directory = RunDirectory.create(path)
    with directory.lock:
        count = import_study(source, journal_storage(directory.journal), source_name=name, name=JOURNAL_STUDY)
        if ENVIRONMENT in files:
            write_atomically(directory.environment, files[ENVIRONMENT])
        write_atomically(directory.config, config.to_yaml())
    return count
