"""Ctrl-C and SIGTERM: the first stops the run between two writes, the second at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SECOND_INTERRUPT_EXIT_CODE = 130


class Interrupts:
    """Turns the first signal into KeyboardInterrupt, held back while something is being written."""

    def __init__(self) -> None:
        self._is_writing = False
        self._num_received = 0

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM inside this context; main thread only."""
        previous = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @property
    def were_received(self) -> bool:
        """Whether a signal has come."""
        return self._num_received > 0

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold the first signal back until this context is left.

        One that came before is raised at the entry: Python drops what is raised inside a finaliser, such as those of
        Ray's object references, so that a signal may have come and nobody heard of it.
        """
        if self.were_received:
            raise KeyboardInterrupt
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False
        if self.were_received:
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  a signal handler's signature
        self._num_received += 1
        if self._num_received > 1:
            os._exit(_SECOND_INTERRUPT_EXIT_CODE)
        if not self._is_writing:
            raise KeyboardInterrupt
