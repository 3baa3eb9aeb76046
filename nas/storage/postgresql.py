"""Optuna's storage in PostgreSQL, told apart from a server that is gone.

Optuna creates a trial again by itself after any error of the database, also where the first one was committed and only
the answer was lost. A server that is gone therefore leaves Optuna as another error than the database's own.
"""

from typing import Final

import psycopg
from optuna.storages import RDBStorage
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext, make_url

from nas.errors import StorageError
from nas.storage.url import masked

CONNECT_TIMEOUT_S: Final = 10

_GONE_CLASSES: Final = ("08", "53", "57")
"""Classes of SQLSTATE: connection, insufficient resources (a full disk too), operator's intervention."""

_READ_ONLY: Final = "25006"
"""The server became a stand-by."""


class ServerGoneError(Exception):
    """The server does not answer, is shutting down, or cannot write just now."""


def is_server_gone(error: Exception) -> bool:
    """Whether an error goes away when the server comes back."""
    if isinstance(error, ServerGoneError):
        return True
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state[:2] in _GONE_CLASSES or state == _READ_ONLY


def open_postgresql(url: str) -> RDBStorage:
    """Return Optuna's storage at a URL that `check_url` has seen; its tables are made where there are none.

    Raises:
        StorageError: the database cannot be reached.
    """
    address = make_url(url).set(drivername="postgresql+psycopg")
    shown = masked(url)
    # Optuna makes its engine and uses it in one go, so that the listener can only be put on afterwards.
    storage = _opened(address.render_as_string(hide_password=False), shown)
    event.listen(storage.engine, "handle_error", _leave_optuna)
    return storage


def _opened(url: str, shown: str) -> RDBStorage:
    from sqlalchemy.exc import DBAPIError

    arguments = {"connect_args": {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "hybridnas"}}
    try:
        # Optuna takes a URL for a template.
        return RDBStorage(url.replace("{", "{{").replace("}", "}}"), engine_kwargs=arguments)
    except DBAPIError as error:
        raise StorageError(unreachable(shown, error.orig or error)) from None


def unreachable(shown: str, reason: BaseException) -> str:
    """Return the words about a database that cannot be reached."""
    first = str(reason).strip().splitlines()[0] if str(reason).strip() else type(reason).__name__
    return f"The storage {shown} cannot be used: {first}. Start the server, or mend the URL, user or password."


def _leave_optuna(context: ExceptionContext) -> None:
    error = context.original_exception
    if context.is_disconnect or (isinstance(error, Exception) and is_server_gone(error)):
        raise ServerGoneError(str(error).strip() or type(error).__name__) from error
