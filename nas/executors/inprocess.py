"""Evaluate in the driver's process, one candidate after the other: exact order, easy to debug."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from nas.candidates import Candidate, Outcome
from nas.executors.executor import Evaluate, Executor, evaluate_safely
from nas.executors.threads import ThreadsExecutor

G = TypeVar("G", bound=Hashable)


class InProcessExecutor(Executor[G], Generic[G]):
    """A queue of one. Without a deadline it evaluates in the thread that waits, else in one beside it."""

    capacity = 1

    def __init__(self, evaluate: Evaluate[G], *, deadline_s: float | None = None) -> None:
        self._evaluate = evaluate
        self._queue: deque[Candidate[G]] = deque()
        self._thread = None if deadline_s is None else ThreadsExecutor(evaluate, num_threads=1, deadline_s=deadline_s)

    def submit(self, candidate: Candidate[G]) -> None:
        """Queue a candidate; without a deadline it runs in `wait`."""
        if self._thread is None:
            self._queue.append(candidate)
        else:
            self._thread.submit(candidate)

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Evaluate the next candidate: to its end, however long that takes, where there is no deadline."""
        if self._thread is not None:
            return self._thread.wait(timeout_s=timeout_s)
        if not self._queue:
            return []
        candidate = self._queue.popleft()
        return [(candidate.number, evaluate_safely(self._evaluate, candidate.genome, candidate.seed, candidate.rungs))]

    def shutdown(self) -> None:
        """Forget what is queued, and tell what is running to end."""
        self._queue.clear()
        if self._thread is not None:
            self._thread.shutdown()
