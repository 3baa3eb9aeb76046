"""Evaluate several candidates at once in threads of this process.

For evaluations that wait (for another process, a device, a network) or compute where Python's lock is released, as in
numpy and torch. An evaluation in pure Python gains nothing, and one that ends its process ends the search: use Ray.
"""

from collections.abc import Hashable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from nas.candidates import Candidate, Outcome
from nas.executors.executor import Evaluate, Executor, evaluate_safely

G = TypeVar("G", bound=Hashable)


class ThreadsExecutor(Executor[G], Generic[G]):
    """A pool of threads. The order in which candidates end is not that of a single one."""

    def __init__(self, evaluate: Evaluate[G], *, num_threads: int) -> None:
        self.capacity = num_threads
        self._evaluate = evaluate
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="candidate")
        self._numbers: dict[Future[Outcome], int] = {}

    def submit(self, candidate: Candidate[G]) -> None:
        """Start the evaluation of a candidate."""
        future = self._pool.submit(evaluate_safely, self._evaluate, candidate.genome, candidate.seed)
        self._numbers[future] = candidate.number

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return what ended, waiting for the first."""
        if not self._numbers:
            return []
        done, _ = wait(self._numbers, timeout=timeout_s, return_when=FIRST_COMPLETED)
        return sorted(((self._numbers.pop(one), one.result()) for one in done), key=lambda ended: ended[0])

    def shutdown(self) -> None:
        """Start nothing more. What is running cannot be stopped; its outcome is dropped."""
        self._numbers.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)
