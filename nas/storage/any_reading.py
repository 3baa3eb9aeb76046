"""The reading that suits a place: a journal file, an SQLite file, PostgreSQL, or Optuna where it alone can read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from nas.errors import StorageError
from nas.storage.journal_reading import ForOptunaError, JournalReading, journal_studies
from nas.storage.reading import News, StudyReading
from nas.storage.url import check_url, is_url, masked

SQLITE: Final = "sqlite:///"


class AnyReading(StudyReading):
    """One study, wherever it lies."""

    def __init__(self, where: str | Path, *, name: str) -> None:
        """Read the study `name`; nothing is read yet.

        Args:
            where: journal or SQLite file, or URL.
            name: of the study.

        Raises:
            ConfigError: a URL of another kind of storage.
            StorageError: the driver of the database is not installed.
        """
        self._where = where
        self._name = name
        self._reading = _reading(where, name=name)

    def news(self) -> News | None:
        """Return what is new; all of it, where Optuna has to read.

        Raises:
            FileNotFoundError: there is no such file.
            StudyError: it is damaged.
            StorageError: it cannot be reached.
        """
        try:
            return self._reading.news()
        except ForOptunaError:
            return _read_by_optuna(self._where, name=self._name)

    def revision(self) -> object:
        """Return something cheap that changes when there may be news.

        Raises:
            StorageError: it cannot be reached.
        """
        try:
            return self._reading.revision()
        except ForOptunaError:
            found = _read_by_optuna(self._where, name=self._name)
            return None if found is None else (found.attributes, [sorted(trial.attributes) for trial in found.trials])

    @property
    def is_written(self) -> bool:
        """Whether a search is known to write it now.

        Raises:
            StorageError: it cannot be reached.
        """
        try:
            return self._reading.is_written
        except ForOptunaError:
            return False


def file_of(where: str | Path) -> Path | None:
    """Return the file of a storage, or none for a database's URL."""
    if is_url(where):
        return Path(str(where).removeprefix(SQLITE)) if urlsplit(str(where)).scheme == "sqlite" else None
    return Path(where)


def studies_of(where: str | Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of every study in a storage, by name.

    Raises:
        ConfigError: a URL of another kind of storage.
        StorageError: it cannot be reached, or is not there.
    """
    path = file_of(where)
    if path is not None and not path.is_file():
        raise StorageError(f"A storage to read must exist; there is no file {path}. Name one, or a database's URL.")
    try:
        if path is None:
            url = check_url(str(where))
            with _needs_driver(url):
                from nas.storage.postgresql_reading import postgresql_studies
            return postgresql_studies(url)
        from nas.storage.sqlite_reading import is_sqlite, sqlite_studies

        return sqlite_studies(path) if is_sqlite(path) else journal_studies(path)
    except ForOptunaError:
        from nas.storage.open import open_storage

        return {study.study_name: study.user_attrs for study in open_storage(where).get_all_studies()}


def _reading(where: str | Path, *, name: str) -> StudyReading:
    path = file_of(where)
    if path is None:
        url = check_url(str(where))
        with _needs_driver(url):
            from nas.storage.postgresql_reading import PostgresqlReading
        return PostgresqlReading(url, name=name)
    if path.is_file():
        from nas.storage.sqlite_reading import SqliteReading, is_sqlite

        if is_sqlite(path):
            return SqliteReading(path, name=name)
    return JournalReading(path, name=name)


@contextmanager
def _needs_driver(url: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise StorageError(
            f"A study in PostgreSQL needs the package psycopg; got {masked(url)} without it ({error}). "
            "Install it with `pip install 'hybridnas[postgresql]'`."
        ) from error


def _read_by_optuna(where: str | Path, *, name: str) -> News | None:
    from nas.storage.open import open_storage
    from nas.study import stored_study

    found = stored_study(open_storage(where), name=name)
    return None if found is None else News(attributes=found.attributes, trials=found.trials, is_anew=True)
