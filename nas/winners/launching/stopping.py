"""An interrupt of the launcher reaches the processes of a training, which have only a folder in common with it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final

from nas.interrupt import Interrupts

STOP_FILE: Final = "stop-requested"

_LOOK_FOR_FILE_EVERY_S: Final = 1.0
_LOOK_FOR_INTERRUPT_EVERY_S: Final = 0.2


@dataclass(slots=True)
class StopFile:
    """The file that says so, as one process sees it."""

    path: Path
    _looked_at: float = field(default=float("-inf"), init=False)
    _is_there: bool = field(default=False, init=False)

    def is_there(self) -> bool:
        """Whether it has been written; looked up at most once a second, and never again once seen."""
        now = time.monotonic()
        if not self._is_there and now - self._looked_at >= _LOOK_FOR_FILE_EVERY_S:
            self._looked_at, self._is_there = now, self.path.exists()
        return self._is_there


@contextmanager
def passed_on(interrupts: Interrupts, path: Path) -> Iterator[None]:
    """Write the file once an interrupt has come; remove it at the end, and one that was left before."""
    path.unlink(missing_ok=True)
    is_over = Event()

    def watch() -> None:
        while not is_over.wait(_LOOK_FOR_INTERRUPT_EVERY_S):
            if interrupts.were_received:
                path.touch()
                return

    thread = Thread(target=watch, name="interrupts", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        path.unlink(missing_ok=True)
