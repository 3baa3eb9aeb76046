"""What a training says to a person while it runs, also from another process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol


class TrainingObserver(Protocol):
    """Hears of one training; only the first of several processes has one that speaks."""

    def notice(self, words: str) -> None:
        """Something the person should know, once."""

    def begins(self, *, steps: int, tokens: int, done_steps: int) -> None:
        """Steps and tokens of the whole training, and how many steps are done already."""

    def progressed(self, event: Mapping[str, Any]) -> None:
        """What was logged; see `Tracker`."""


class Silent:
    """Says nothing."""

    def notice(self, words: str) -> None:
        """Say nothing."""

    def begins(self, *, steps: int, tokens: int, done_steps: int) -> None:
        """Say nothing."""

    def progressed(self, event: Mapping[str, Any]) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class Message:
    """One call of an observer, on its way between processes; picklable."""

    name: Literal["notice", "begins", "progressed"]
    content: Any

    def tell(self, observer: TrainingObserver) -> None:
        """Make the call."""
        match self.name:
            case "notice":
                observer.notice(self.content)
            case "begins":
                observer.begins(**self.content)
            case "progressed":
                observer.progressed(self.content)


class Sending:
    """An observer at the other end."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send

    def notice(self, words: str) -> None:
        """Send it."""
        self._send(Message("notice", words))

    def begins(self, *, steps: int, tokens: int, done_steps: int) -> None:
        """Send it."""
        self._send(Message("begins", {"steps": steps, "tokens": tokens, "done_steps": done_steps}))

    def progressed(self, event: Mapping[str, Any]) -> None:
        """Send it."""
        self._send(Message("progressed", dict(event)))
