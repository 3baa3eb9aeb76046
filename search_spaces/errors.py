"""The errors a user can cause, with one root.

Every message is rule, value, remedy. `exit_code` is what the command line ends with when the error reaches it: 1 the
run failed, 3 invalid configuration, 4 environment, 5 run directory.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class NasError(Exception):
    """Root of every error HybridNAS raises on purpose."""

    exit_code: ClassVar[int] = 1


class SpecError(NasError, ValueError):
    """An architecture, an operator, a pattern, a genome or a space breaks a rule."""

    exit_code: ClassVar[int] = 3


class UnavailableError(NasError, RuntimeError):
    """This machine or this installation lacks what was asked for."""

    exit_code: ClassVar[int] = 4


def near_miss(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'? Known: a, b, c.` for an error about an unknown word."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{hint} Known: {', '.join(names)}."
