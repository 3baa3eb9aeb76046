"""What workers of Ray Train leave for the launcher to read: an actor's class, which knows no Ray itself."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What came since the launcher last looked."""

    messages: tuple[Any, ...]
    losses: tuple[str, ...]
    num_beginnings: int
    """How often the workers have found each other, in all."""


class Board:
    """Keeps what is left until it is taken."""

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._losses: list[str] = []
        self._num_beginnings = 0
        self._failure: Exception | None = None
        self._result: Any = None

    def begin(self) -> None:
        """Note that the workers have found each other."""
        self._num_beginnings += 1

    def put(self, message: Any) -> None:
        """Leave a message."""
        self._messages.append(message)

    def lose(self, words: str) -> None:
        """Leave word of a worker that was lost."""
        self._losses.append(words)

    def fail(self, error: Exception) -> None:
        """Leave the error that ends the training, of several workers the first's."""
        self._failure = self._failure or error

    def finish(self, result: Any) -> None:
        """Leave the result."""
        self._result = result

    def take(self) -> News:
        """Return what came since the last time."""
        news = News(messages=tuple(self._messages), losses=tuple(self._losses), num_beginnings=self._num_beginnings)
        self._messages, self._losses = [], []
        return news

    def failure(self) -> Exception | None:
        """Return the error that ends the training, if there is one."""
        return self._failure

    def result(self) -> Any:
        """Return the result."""
        return self._result
