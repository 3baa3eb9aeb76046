"""A study read from an SQLite file that `nas study export` wrote, whole each time the file has changed.

The file is opened to be read only: none is made, and no table. A search writes no such file, so that nobody waits.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from nas.errors import StorageError
from nas.storage.reading import News, StudyReading, attributes_by_study, file_mark, trials_by_id

_MAGIC: Final = b"SQLite format 3\0"
_TIMEOUT_S: Final = 1.0

_TRIALS: Final = """
SELECT trials.trial_id, trials.number, trials.datetime_start, attributes.key, attributes.value_json
FROM trials LEFT JOIN trial_user_attributes AS attributes USING (trial_id)
WHERE trials.study_id = ? ORDER BY trials.trial_id
"""


class SqliteReading(StudyReading):
    """One study of a file."""

    def __init__(self, path: Path, *, name: str) -> None:
        """Read the study `name` of the file `path`; nothing is read yet."""
        self._path = path
        self._name = name

    def revision(self) -> object:
        """Return the marks of the file and of its log; none where there is no file."""
        return [file_mark(path) for path in (self._path, self._path.with_name(f"{self._path.name}-wal"))]

    def news(self) -> News | None:
        """Return the whole study.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it is none of Optuna's, or somebody is writing it.
        """
        with _connected(self._path) as connection:
            found = connection.execute("SELECT study_id FROM studies WHERE study_name = ?", (self._name,)).fetchone()
            if found is None:
                return None
            attributes: dict[str, Any] = {
                key: json.loads(value)
                for key, value in connection.execute(
                    "SELECT key, value_json FROM study_user_attributes WHERE study_id = ?", found
                )
            }
            trials = trials_by_id(
                (trial_id, number, None if started is None else datetime.fromisoformat(started), key, value)
                for trial_id, number, started, key, value in connection.execute(_TRIALS, found)
            )
        return News(attributes=attributes, trials=list(trials.values()), is_anew=True)


def is_sqlite(path: Path) -> bool:
    """Whether a file is one of SQLite.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def sqlite_studies(path: Path) -> dict[str, dict[str, Any]]:
    """Return the attributes of every study of a file, by name.

    Raises:
        FileNotFoundError: there is no such file.
        StorageError: it is none of Optuna's, or somebody is writing it.
    """
    with _connected(path) as connection:
        return attributes_by_study(
            connection.execute(
                "SELECT study_name, key, value_json FROM studies LEFT JOIN study_user_attributes USING (study_id)"
            )
        )


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise FileNotFoundError(2, "No such file", str(path))
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=_TIMEOUT_S)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StorageError(
            f"A storage is a file of Optuna's that nobody is writing; {path} cannot be read ({error}). Name another, "
            "or try again once it is written."
        ) from error
