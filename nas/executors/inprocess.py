"""Evaluate in the driver, one candidate after the other: exact order, easy to debug."""

from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from nas.candidates import Candidate, Outcome
from nas.executors.executor import Evaluate, Executor, evaluate_safely

G = TypeVar("G", bound=Hashable)


class InProcessExecutor(Executor[G], Generic[G]):
    """A queue of one."""

    capacity = 1

    def __init__(self, evaluate: Evaluate[G]) -> None:
        self._evaluate = evaluate
        self._queue: deque[Candidate[G]] = deque()

    def submit(self, candidate: Candidate[G]) -> None:
        """Queue a candidate; it runs in `wait`."""
        self._queue.append(candidate)

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:  # noqa: ARG002  nothing else to wait for
        """Evaluate the next candidate, however long that takes."""
        if not self._queue:
            return []
        candidate = self._queue.popleft()
        return [(candidate.number, evaluate_safely(self._evaluate, candidate.genome, candidate.seed))]

    def shutdown(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
