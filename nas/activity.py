"""What a running search says of itself every few seconds, in a small file of its run directory, for those who watch.

Nothing is read back by a search, and nothing depends on it: a file that cannot be written is gone without.
"""

import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.candidates import Candidate, Failed, Record

if TYPE_CHECKING:
    from dashboards.frame import Activity

FILE: Final = "activity.json"

_CHANGED_EVERY_S: Final = 2.0
"""Changes closer together than this are told together."""

_AT_LEAST_EVERY_S: Final = 10.0


class Heartbeat:
    """Tells of a search; made where it begins to evaluate, and closed at its end."""

    def __init__(
        self,
        directory: Path,
        *,
        places: Callable[[], int],
        num_cpus: float,
        num_gpus: float,
        nodes: Callable[[], tuple[str, ...]] = tuple,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to tell.

        Args:
            directory: the run directory.
            places: says how many candidates can run at once now.
            num_cpus: of one candidate.
            num_gpus: of one candidate.
            nodes: names the nodes of the cluster.
            clock: seconds.
        """
        self._path = directory / FILE
        self._places = places
        self._nodes = nodes
        self._resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        self._clock = clock
        self._running: set[int] = set()
        self._has_changed = True
        self._told_at: float | None = None

    def started(self, candidate: Candidate[Any]) -> None:
        """A candidate was dispatched."""
        self._running.add(candidate.number)
        self._has_changed = True
        self.tick()

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
        """The evaluation of a candidate begins once more."""
        del failure
        self.started(candidate)

    def ended(self, record: Record[Any]) -> None:
        """A trial ended."""
        self._running.discard(record.number)
        self._has_changed = True
        self.tick()

    def tick(self) -> None:
        """Tell, where something has changed or it is time to."""
        now = self._clock()
        since = float("inf") if self._told_at is None else now - self._told_at
        if since >= (_CHANGED_EVERY_S if self._has_changed else _AT_LEAST_EVERY_S):
            self._told_at, self._has_changed = now, False
            try:
                self._tell()
            except Exception:  # a full disk, a cluster that is breaking down: no search is to fail over this
                logging.getLogger("hybridnas").debug("What the search does could not be told.", exc_info=True)

    def close(self) -> None:
        """Say no more."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _tell(self) -> None:
        content = {
            "at": datetime.now(UTC).isoformat(),
            "num_running": len(self._running),
            "num_places": self._places(),
            **self._resources,
            "nodes": list(self._nodes()),
        }
        # Whole or not at all, but not worth waiting for the disk.
        beside = self._path.with_name(f".{FILE}.{os.getpid()}")
        beside.write_text(json.dumps(content), encoding="utf-8")
        beside.replace(self._path)


def read_activity(directory: Path) -> "Activity | None":
    """Return what a search last said of itself, or none where it said nothing that can be read."""
    from dashboards.frame import Activity

    try:
        content = json.loads((directory / FILE).read_text(encoding="utf-8"))
        return Activity(
            at=datetime.fromisoformat(content["at"]).astimezone(UTC),
            num_running=int(content["num_running"]),
            num_places=int(content["num_places"]),
            num_cpus=float(content["num_cpus"]),
            num_gpus=float(content["num_gpus"]),
            nodes=tuple(str(name) for name in content["nodes"]),
        )
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return None
