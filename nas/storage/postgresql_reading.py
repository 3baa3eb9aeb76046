"""A study read from PostgreSQL in three queries, without Optuna's objects; nothing is written, no table made.

Knows the tables of one version of Optuna's schema. Where there are others, or none, it says so, and Optuna reads.
"""

import json
from datetime import UTC
from typing import Any, Final

import psycopg

from nas.storage.postgresql import CONNECT_TIMEOUT_S
from nas.study_format import StoredStudy, StoredTrial

SCHEMA_VERSION: Final = 12

_TRIALS: Final = """
SELECT trials.number, trials.datetime_start, attributes.key, attributes.value_json
FROM trials LEFT JOIN trial_user_attributes AS attributes USING (trial_id)
WHERE trials.study_id = %s ORDER BY trials.trial_id
"""


class UnknownTablesError(Exception):
    """The database has no tables of Optuna, or those of another version."""


def read_postgresql(url: str, *, name: str) -> StoredStudy | None:
    """Return the study `name`, or none where there is no such study.

    Raises:
        UnknownTablesError: Optuna has to read it.
        psycopg.Error: the server does not answer.
    """
    with psycopg.connect(url, connect_timeout=CONNECT_TIMEOUT_S, application_name="hybridnas reader") as connection:
        try:
            version = connection.execute("SELECT schema_version FROM version_info").fetchone()
        except psycopg.errors.UndefinedTable as error:
            raise UnknownTablesError from error
        if version != (SCHEMA_VERSION,):
            raise UnknownTablesError
        found = connection.execute("SELECT study_id FROM studies WHERE study_name = %s", (name,)).fetchone()
        if found is None:
            return None
        attributes: dict[str, Any] = {
            key: json.loads(value)
            for key, value in connection.execute(
                "SELECT key, value_json FROM study_user_attributes WHERE study_id = %s", found
            )
        }
        trials: dict[int, StoredTrial] = {}
        for number, started, key, value in connection.execute(_TRIALS, found):
            trial = trials.get(number)
            if trial is None:
                # Without a zone, but of this one.
                started_at = None if started is None else started.replace(tzinfo=UTC)
                trial = trials[number] = StoredTrial(number=number, started_at=started_at, attributes={})
            if key is not None:
                trial.attributes[key] = json.loads(value)
    return StoredStudy(attributes=attributes, trials=list(trials.values()))
