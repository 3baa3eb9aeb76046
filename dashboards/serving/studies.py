"""The studies that a dashboard follows, each read anew only when it has changed.

Where they lie, and what a change is, is known to who made them. A study that cannot be read hides none of the others,
and what was read of it before stays.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dashboards.frame import Results
from dashboards.view import View
from search_spaces.errors import NasError

logger = logging.getLogger(__name__)

_REST_TIMES: Final = 4
_MOST_REST_S: Final = 30.0
"""A database that is gone is noticed after seconds each time, in which the other studies of a page wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study to follow."""

    name: str
    """Unique among those of a dashboard; stands in links."""

    load: Callable[[], Results]
    """Reads the results; called when the revision has changed."""

    revision: Callable[[], object]
    """Something cheap whose `repr` changes when the results do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is known of a study now."""

    name: str
    revision: str
    results: Results | None
    """The last that could be read."""

    error: str
    """Why it cannot be read now; empty where it can."""


class Studies:
    """Readings of several studies, shared by all open pages."""

    def __init__(self, studies: Sequence[Study]) -> None:
        """Take the studies; none is read yet.

        Raises:
            ValueError: there are none, or two have one name.
        """
        names = [study.name for study in studies]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"A dashboard needs studies of different names; got {names}.")
        self._studies = {study.name: study for study in studies}
        self._locks = {name: threading.Lock() for name in names}
        self._readings: dict[str, Reading] = {}
        self._resting_until: dict[str, float] = {}

    @property
    def names(self) -> list[str]:
        """Names in the order given."""
        return list(self._studies)

    def shown(self, view: View) -> list[Reading]:
        """Return the study in front and those drawn over it, as they are now; unknown names are left out."""
        front = view.study if view.study in self._studies else self.names[0]
        return [self.read(name) for name in dict.fromkeys([front, *view.overlay]) if name in self._studies]

    def complaints(self, view: View) -> list[str]:
        """Return a sentence for every study that a view asks for and that is not followed."""
        asked = dict.fromkeys([*([view.study] if view.study else []), *view.overlay])
        return [
            f"The link asks for the study {name!r}, which is not here; there are {', '.join(self.names)}."
            for name in asked
            if name not in self._studies
        ]

    def read(self, name: str) -> Reading:
        """Return a study as it is now."""
        study = self._studies[name]
        # One page reads; those that ask at the same time wait for it rather than read the same again.
        with self._locks[name]:
            before = self._readings.get(name, Reading(name=name, revision="", results=None, error=""))
            began = time.monotonic()
            if began < self._resting_until.get(name, began):
                return before
            try:
                # The revision first: results that change between the two calls are then read again, not missed.
                revision = repr(study.revision())
                if revision == before.revision and not before.error:
                    return before
                reading = Reading(name=name, revision=revision, results=study.load(), error="")
            except Exception as error:
                words = _words(error)
                if words != before.error:  # one record of it is enough, however often pages ask
                    # Of what a user can cause, the words say all there is to say.
                    trace = None if isinstance(error, NasError | OSError) else error
                    logger.warning("The dashboard could not read %s: %s", name, words, exc_info=trace)
                reading = replace(before, error=words)
                self._rest(name, began=began)
            self._readings[name] = reading
            return reading

    def _rest(self, name: str, *, began: float) -> None:
        """Leave a study that failed in peace for a while: the longer it took to fail, the longer."""
        now = time.monotonic()
        self._resting_until[name] = now + min(_MOST_REST_S, _REST_TIMES * (now - began))


def _words(error: Exception) -> str:
    if isinstance(error, NasError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return f"{type(error).__name__}: {error}"
