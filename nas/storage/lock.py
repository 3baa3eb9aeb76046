"""One writer for a study in PostgreSQL: an advisory lock, held by a connection of its own.

The server frees it when the connection ends, however the driver died. Readers need no lock.
"""

import hashlib
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from nas.errors import StorageError, StudyInUseError
from nas.storage.postgresql import CONNECT_TIMEOUT_S, is_server_gone, unreachable
from nas.storage.url import masked

_TRIES: Final = 40
_PAUSE_S: Final = 0.05
"""A server takes a moment to notice that a driver was killed."""

_KEEPALIVE: Final = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
"""With these the server notices within a minute that the driver's whole machine is gone."""

_MOST_NAME_BYTES: Final = 63


def lock_key(name: str) -> int:
    """Return the number under which the server knows the lock of a study."""
    digest = hashlib.sha256(f"hybridnas study {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class WriterLock:
    """Holds the study of one name for one driver."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._key = lock_key(name)
        self._connection: psycopg.Connection[Any] | None = None

    def acquire(self) -> None:
        """Take the lock, on a new connection.

        Raises:
            StudyInUseError: another driver holds it.
            psycopg.Error: the server does not answer.
        """
        self.release()
        connection = self._connect()
        try:
            for _ in range(_TRIES):
                row = connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchone()
                if row is not None and row[0]:
                    self._connection = connection
                    return
                time.sleep(_PAUSE_S)
            raise StudyInUseError(
                f"One search at a time may write the study {self._name!r}; {self._holder(connection)} does. "
                "Wait for it, stop it, or choose another study.name."
            )
        finally:
            if self._connection is None:
                connection.close()

    def check(self) -> None:
        """Make sure that the lock is still held; take it again where its connection was lost.

        Raises:
            StudyInUseError: another driver took it meanwhile.
            psycopg.Error: the server does not answer.
        """
        if self._connection is not None and not self._connection.closed:
            try:
                self._connection.execute("SELECT 1")
            except psycopg.Error as error:
                if not is_server_gone(error):
                    raise
            else:
                return
        self.acquire()

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Hold the lock for a moment, after whoever holds it.

        Raises:
            StorageError: the database cannot be reached.
        """
        try:
            connection = self._connect()
        except psycopg.Error as error:
            raise StorageError(unreachable(masked(self._url), error)) from None
        with connection:
            connection.execute("SELECT pg_advisory_lock(%s)", (self._key,))
            yield

    def _connect(self) -> psycopg.Connection[Any]:
        who = f"hybridnas {socket.gethostname()} process {os.getpid()}".encode()[:_MOST_NAME_BYTES].decode(
            errors="ignore"
        )
        return psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name=who,
            options=_KEEPALIVE,
        )

    def _holder(self, connection: psycopg.Connection[Any]) -> str:
        # A key of eight bytes is shown as two of four.
        row = connection.execute(
            "SELECT application_name, client_addr FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
            "AND ((classid::bigint << 32) | objid::bigint) = %s",
            (self._key,),
        ).fetchone()
        if row is None:
            return "another driver"
        name, address = row
        return f"{name or 'another driver'}" + (f" at {address}" if address else "")
