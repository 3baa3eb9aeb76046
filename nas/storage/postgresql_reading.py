"""A study read from PostgreSQL without Optuna's objects, what is new of it in three queries; nothing is written.

Knows the tables of one version of Optuna's schema. Where there are others it says so, and Optuna reads.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from nas.errors import StorageError
from nas.storage.journal_reading import ForOptunaError
from nas.storage.lock import lock_key
from nas.storage.postgresql import CONNECT_TIMEOUT_S, unreachable
from nas.storage.reading import News, StudyReading, attributes_by_study, trials_by_id
from nas.storage.url import masked
from nas.study_format import RESULT

SCHEMA_VERSION: Final = 12

_OPTIONS: Final = "-c default_transaction_read_only=on -c lock_timeout=2000 -c statement_timeout=60000"
"""A reader never waits for a lock for long, such as that of a change of the tables."""

_TRIALS: Final = """
SELECT trials.trial_id, trials.number, trials.datetime_start, attributes.key, attributes.value_json
FROM trials LEFT JOIN trial_user_attributes AS attributes USING (trial_id)
WHERE trials.study_id = %s AND (trials.trial_id > %s OR trials.trial_id = ANY(%s)) ORDER BY trials.trial_id
"""

_REVISION: Final = """
SELECT studies.study_id,
    (SELECT count(*) FROM trials WHERE trials.study_id = studies.study_id),
    (SELECT count(*) FROM trials WHERE trials.study_id = studies.study_id AND state <> 'RUNNING'),
    (SELECT string_agg(attributes.key || octet_length(value_json), ',' ORDER BY attributes.trial_user_attribute_id)
        FROM trial_user_attributes AS attributes JOIN trials USING (trial_id)
        WHERE trials.study_id = studies.study_id AND state = 'RUNNING'),
    (SELECT md5(string_agg(key || value_json, ',' ORDER BY study_user_attribute_id))
        FROM study_user_attributes AS attributes WHERE attributes.study_id = studies.study_id),
    EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND ((classid::bigint << 32) | objid::bigint) = %s)
FROM studies WHERE study_name = %s
"""

_NO_TRIAL: Final = -1


class PostgresqlReading(StudyReading):
    """One study of a database."""

    def __init__(self, url: str, *, name: str) -> None:
        """Read the study `name` at a URL that `check_url` has seen; nothing is read yet."""
        self._url = url
        self._name = name
        self._study_id: int | None = None
        self._last_id = _NO_TRIAL
        self._unended: set[int] = set()

    @property
    def is_written(self) -> bool:
        """Whether a driver holds the study now."""
        with connected(self._url) as connection:
            row = _revision(connection, self._name)
        return row is not None and bool(row[-1])

    def revision(self) -> object:
        """Return counts and sizes of what may change.

        Raises:
            StorageError: the server does not answer.
        """
        with connected(self._url) as connection:
            return _revision(connection, self._name)

    def news(self) -> News | None:
        """Return the trials that are new and those that had not ended.

        Raises:
            StorageError: the server does not answer.
            ForOptunaError: it has tables of another version.
        """
        with connected(self._url) as connection:
            if not _has_known_tables(connection):
                return None
            found = connection.execute("SELECT study_id FROM studies WHERE study_name = %s", (self._name,)).fetchone()
            if found is None:
                return None
            is_anew = found[0] != self._study_id
            if is_anew:
                self._study_id, self._last_id, self._unended = found[0], _NO_TRIAL, set()
            attributes: dict[str, Any] = {
                key: json.loads(value)
                for key, value in connection.execute(
                    "SELECT key, value_json FROM study_user_attributes WHERE study_id = %s", found
                )
            }
            asked = (self._study_id, self._last_id, sorted(self._unended))
            trials = trials_by_id(connection.execute(_TRIALS, asked))
        for trial_id, trial in trials.items():
            self._last_id = max(self._last_id, trial_id)
            if RESULT in trial.attributes:
                self._unended.discard(trial_id)
            else:
                self._unended.add(trial_id)
        return News(attributes=attributes, trials=list(trials.values()), is_anew=is_anew)


def postgresql_studies(url: str) -> dict[str, dict[str, Any]]:
    """Return the attributes of every study of a database, by name.

    Raises:
        StorageError: the server does not answer.
        ForOptunaError: it has tables of another version.
    """
    with connected(url) as connection:
        if not _has_known_tables(connection):
            return {}
        rows = connection.execute(
            "SELECT study_name, key, value_json FROM studies LEFT JOIN study_user_attributes USING (study_id)"
        ).fetchall()
    return attributes_by_study(rows)


@contextmanager
def connected(url: str) -> Iterator["psycopg.Connection[Any]"]:
    """Connect to read, for a moment.

    Raises:
        StorageError: the server does not answer, or breaks off.
    """
    try:
        with psycopg.connect(
            url, connect_timeout=CONNECT_TIMEOUT_S, application_name="hybridnas reader", options=_OPTIONS
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise StorageError(unreachable(masked(url), error)) from None


def _revision(connection: "psycopg.Connection[Any]", name: str) -> tuple[Any, ...] | None:
    if not _has_known_tables(connection):
        return None
    return connection.execute(_REVISION, (lock_key(name), name)).fetchone()


def _has_known_tables(connection: "psycopg.Connection[Any]") -> bool:
    """Whether there are tables of Optuna.

    Raises:
        ForOptunaError: they are of another version.
    """
    found = connection.execute("SELECT to_regclass('version_info')").fetchone()
    if found is None or found[0] is None:
        return False
    version = connection.execute("SELECT schema_version FROM version_info").fetchone()
    if version != (SCHEMA_VERSION,):
        raise ForOptunaError
    return True
