"""Evaluate several candidates at once in threads of this process.

For evaluations that wait (for another process, a device, a network) or compute where Python's lock is released, as in
numpy and torch. An evaluation in pure Python gains nothing, and one that ends its process ends the search: use Ray.
"""

import contextlib
import ctypes
import queue
import threading
import time
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from nas.candidates import Candidate, Failed, Outcome
from nas.executors.executor import Evaluate, Executor, evaluate_safely, timed_out

G = TypeVar("G", bound=Hashable)

_END_WITHIN_S: Final = 2.0
"""How long a thread that is told to end may take to do so before it is left behind."""


class _EndedError(BaseException):
    """Raised inside an evaluation that is to end; no `except Exception` keeps it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    number: int
    thread: threading.Thread
    began: float
    """Seconds of the monotonic clock."""


class ThreadsExecutor(Executor[G], Generic[G]):
    """A thread for each candidate. The order in which they end is not that of a single one."""

    def __init__(self, evaluate: Evaluate[G], *, num_threads: int, deadline_s: float | None = None) -> None:
        """Evaluate in `num_threads` threads.

        Args:
            evaluate: runs in them.
            num_threads: evaluations at once.
            deadline_s: seconds one may take; none: as long as it likes. A thread cannot be forced to end: one that does
                not (as within a call of C that never returns) is left behind, and what it holds with it.
        """
        self._num_threads = num_threads
        self._evaluate = evaluate
        self._deadline_s = deadline_s
        self._waiting: deque[Candidate[G]] = deque()
        self._running: dict[int, _Running] = {}
        self._ended: queue.SimpleQueue[tuple[_Running, Outcome]] = queue.SimpleQueue()

    @property
    def capacity(self) -> int:
        """Threads there are."""
        return self._num_threads

    def submit(self, candidate: Candidate[G]) -> None:
        """Start the evaluation of a candidate, or queue it while all threads are taken."""
        self._waiting.append(candidate)
        self._start()

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return what ended, waiting for the first."""
        until = time.monotonic() + timeout_s
        found: list[tuple[int, Outcome]] = []
        while self._running and not found:
            found = self._take(min(until, self._next_deadline()) - time.monotonic()) + self._overdue()
            self._start()
            if time.monotonic() >= until:
                break
        return sorted(found, key=lambda ended: ended[0])

    def shutdown(self) -> None:
        """Start nothing more, and tell what is running to end; its outcome is dropped."""
        self._waiting.clear()
        running, self._running = list(self._running.values()), {}
        for one in running:
            _tell_to_end(one.thread)
        for one in running:
            one.thread.join(_END_WITHIN_S)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self.capacity:
            candidate = self._waiting.popleft()
            thread = threading.Thread(target=self._run, args=(candidate,), name="candidate", daemon=True)
            self._running[candidate.number] = _Running(candidate.number, thread, time.monotonic())
            thread.start()

    def _run(self, candidate: Candidate[G]) -> None:
        me = self._running[candidate.number]
        with contextlib.suppress(_EndedError):
            try:
                outcome = evaluate_safely(self._evaluate, candidate.genome, candidate.seed, candidate.rungs)
            except _EndedError:
                raise
            except BaseException as error:  # nobody else would hear of it, and wait for ever
                outcome = Failed("bug", f"{type(error).__name__}: {error}")
            self._ended.put((me, outcome))

    def _take(self, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return what has ended, waiting so long for the first."""
        found: list[tuple[int, Outcome]] = []
        try:
            ended, outcome = self._ended.get(timeout=max(0.0, timeout_s))
            while True:
                # What was left behind may end after all; its candidate may be under evaluation again.
                if self._running.get(ended.number) is ended:
                    del self._running[ended.number]
                    found.append((ended.number, outcome))
                ended, outcome = self._ended.get_nowait()
        except queue.Empty:
            return found

    def _next_deadline(self) -> float:
        if self._deadline_s is None or not self._running:
            return float("inf")
        return min(one.began for one in self._running.values()) + self._deadline_s

    def _overdue(self) -> list[tuple[int, Outcome]]:
        if self._deadline_s is None:
            return []
        found: list[tuple[int, Outcome]] = []
        overdue = [one for one in self._running.values() if time.monotonic() - one.began >= self._deadline_s]
        for one in overdue:
            del self._running[one.number]
            _tell_to_end(one.thread)
        until = time.monotonic() + _END_WITHIN_S
        for one in overdue:
            one.thread.join(max(0.0, until - time.monotonic()))
            failed = timed_out(self._deadline_s)
            if one.thread.is_alive():
                failed = Failed("timeout", f"{failed.message} It could not be ended and goes on in the background.")
            found.append((one.number, failed))
        return found


def _tell_to_end(thread: threading.Thread) -> None:
    """Raise inside a thread, at the next step of its Python code."""
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_EndedError))
