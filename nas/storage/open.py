"""Where a study is kept: a journal file, or a PostgreSQL database by its URL.

Opens storages and says what is wrong with a URL. What a study holds is `study.py`'s; waiting for a storage that is gone
is `storage_patience.py`'s, keeping other writers out `storage_lock.py`'s.
"""

import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final

from optuna.storages import BaseStorage, JournalStorage

from nas.errors import StorageError, StudyError
from nas.storage.patience import PATIENCE_S, PatientStorage
from nas.storage.url import check_url, is_url, masked
from nas.storage.whole_lines import WholeLines, is_disk_trouble

SCHEMA_LOCK: Final = "the tables themselves"
"""Held while the tables are made, so that two searches may start on an empty database."""


def journal_storage(
    path: Path, *, patience_s: float = PATIENCE_S, notice: Callable[[str], None] | None = None
) -> BaseStorage:
    """Return storage in a journal file; a full or absent disk is waited for.

    Args:
        path: the file, made where there is none.
        patience_s: how long a disk may be full or gone before that is an error, in seconds.
        notice: is told when waiting begins and ends; by default a line on standard error.

    Raises:
        StudyError: the file is damaged.
    """
    try:
        journal = JournalStorage(WholeLines(str(path)))
    except ValueError as error:
        raise StudyError(
            f"A journal holds one record a line; {path} has a line in its middle that is none ({error}). The file was "
            "changed by something else; restore it from a copy."
        ) from error
    return PatientStorage(
        journal,
        where=str(path),
        is_gone=is_disk_trouble,
        patience_s=patience_s,
        notice=notice or _say,
    )


def open_storage(
    where: str | Path, *, patience_s: float = PATIENCE_S, notice: Callable[[str], None] | None = None
) -> BaseStorage:
    """Return the storage of a journal file or of a `postgresql://` URL.

    Args:
        where: file or URL.
        patience_s: how long a storage in use may be gone before that is an error, in seconds. One that is gone from
            the start is one at once.
        notice: is told when waiting begins and ends; by default a line on standard error.

    Raises:
        ConfigError: a URL of another kind of storage.
        StorageError: the database cannot be reached, or its driver is not installed.
    """
    if not is_url(where):
        return journal_storage(Path(where), patience_s=patience_s, notice=notice)
    url = check_url(str(where))
    try:
        import psycopg  # noqa: F401  asked for here, so that a missing one is an error of ours

        from nas.storage.lock import WriterLock
        from nas.storage.postgresql import is_server_gone, open_postgresql
    except ImportError as error:
        raise StorageError(
            f"A study in PostgreSQL needs the package psycopg; got {masked(url)} without it ({error}). "
            "Install it with `pip install 'hybridnas[postgresql]'`."
        ) from error
    with WriterLock(url, SCHEMA_LOCK).waited_for():
        database = open_postgresql(url)
    storage = PatientStorage(
        database,
        where=masked(url),
        is_gone=is_server_gone,
        patience_s=patience_s,
        notice=notice or _say,
        lock_of=lambda name: WriterLock(url, name),
    )
    weakref.finalize(storage, database.engine.dispose)
    return storage


def _say(words: str) -> None:
    logging.getLogger("hybridnas").warning(words)
