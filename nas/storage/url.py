"""URLs of storages: which are understood, and how they are shown. Opens nothing."""

from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from nas.errors import ConfigError

_SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg")
_SECRET: Final = "password"


def is_url(where: str | Path) -> bool:
    """Whether this is a URL, and no file."""
    return isinstance(where, str) and "://" in where


def check_url(url: str) -> str:
    """Return a URL as PostgreSQL's own library reads it.

    Raises:
        ConfigError: it is of another kind of storage, or names no database.
    """
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        raise ConfigError(
            f"A study by URL lies in PostgreSQL; got {url!r}, a file for one machine. Leave the storage out: the "
            "journal in the run directory is such a file, and survives kill -9."
        )
    if scheme not in _SCHEMES:
        raise ConfigError(
            f"A study by URL lies in PostgreSQL; got {masked(url)!r}. Write postgresql://USER@HOST/DATABASE, or leave "
            "the storage out for a journal file."
        )
    if not urlsplit(url).path.strip("/") and "dbname" not in dict(parse_qsl(urlsplit(url).query)):
        raise ConfigError(f"A storage's URL names a database; got {masked(url)!r}. Add it: …/DATABASE.")
    return "postgresql" + url[len(scheme) :]


def has_password(url: str) -> bool:
    """Whether a password is written in a URL."""
    parts = urlsplit(url)
    return parts.password is not None or _SECRET in dict(parse_qsl(parts.query))


def masked(url: str) -> str:
    """Return a URL as it may be shown: without its password."""
    if not has_password(url):
        return url
    parts = urlsplit(url)
    place = parts.netloc
    if parts.password is not None:
        user, _, host = place.rpartition("@")
        place = f"{user.partition(':')[0]}:***@{host}"
    query = [(name, "***" if name == _SECRET else value) for name, value in parse_qsl(parts.query)]
    shown = urlencode(query, safe="*/", quote_via=quote)
    return urlunsplit((parts.scheme, place, parts.path, shown, parts.fragment))
