"""One executor for two kinds of work: a search, and what is evaluated beside it.

The search sees an executor as any other. What the other work is, and when it begins, is not here.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

from nas.candidates import Candidate, Outcome
from nas.executors.executor import Executor

G = TypeVar("G", bound=Hashable)


class WorkBeside(Protocol):
    """What shares the executor with a search."""

    def __len__(self) -> int:
        """How many evaluations of it are under way."""


class SharedExecutor(Executor[G], Generic[G]):
    """The search's view of an executor. It always takes one candidate, which may have to wait."""

    def __init__(self, executor: Executor[Any]) -> None:
        self._executor = executor
        self._beside: WorkBeside | None = None
        self._waiting: deque[Candidate[G]] = deque()
        self._running: set[int] = set()
        self._ended_beside: list[tuple[int, Outcome]] = []
        self._is_candidates_turn = False

    def share_with(self, beside: WorkBeside) -> None:
        """Count the other work from now on."""
        self._beside = beside

    @property
    def capacity(self) -> int:
        """How many candidates of the search it takes beside the other work."""
        return max(1, self._executor.capacity - self._num_beside)

    @property
    def has_room_beside(self) -> bool:
        """Whether one more evaluation of the other work may begin: on half of the room at most, in turns on little."""
        if self._waiting and self._is_candidates_turn:
            return False
        whole = max(1, self._executor.capacity)
        return self._num_beside < max(1, whole // 2) and len(self._running) + self._num_beside < whole

    def submit(self, candidate: Candidate[G]) -> None:
        """Start the evaluation of a candidate of the search, or keep it until there is room."""
        self._waiting.append(candidate)
        self._start()

    def submit_beside(self, candidate: Candidate[Any]) -> None:
        """Start an evaluation of the other work; its numbers are below zero down here."""
        self._executor.submit(replace(candidate, number=-1 - candidate.number))

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return what ended of the search; it may be nothing. What ended beside it is kept for `take_beside`."""
        self._start()
        outcomes = self._executor.wait(timeout_s=timeout_s)
        ended = [(number, outcome) for number, outcome in outcomes if number >= 0]
        others = [(-1 - number, outcome) for number, outcome in outcomes if number < 0]
        self._running -= {number for number, _ in ended}
        if outcomes:
            self._is_candidates_turn = bool(others)
        self._ended_beside += others
        return ended

    def take_beside(self) -> list[tuple[int, Outcome]]:
        """Return what ended of the other work, once."""
        taken, self._ended_beside = self._ended_beside, []
        return taken

    def shutdown(self) -> None:
        """Abandon both."""
        self._waiting.clear()
        self._executor.shutdown()

    @property
    def _num_beside(self) -> int:
        return 0 if self._beside is None else len(self._beside)

    def _start(self) -> None:
        while self._waiting and len(self._running) + self._num_beside < max(1, self._executor.capacity):
            candidate = self._waiting.popleft()
            self._running.add(candidate.number)
            self._executor.submit(candidate)
