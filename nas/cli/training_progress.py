"""Progress of a training: a live bar on a terminal, else a line every few seconds. Always on standard error."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, TaskID, TimeRemainingColumn

from nas.cli.standard_error import bar_or_lines
from nas.winners.progress import TrainingObserver

_LINE_EVERY_S: Final = 10.0


def make_observer() -> AbstractContextManager[TrainingObserver]:
    """Give the observer that suits standard error."""
    return bar_or_lines(bar=BarObserver, lines=LineObserver, time_column=TimeRemainingColumn())


class _Words:
    """The newest numbers in words."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}

    def take(self, event: Mapping[str, Any]) -> str:
        if "loss" in event:
            self._parts["loss"] = f"loss {event['loss']:.4f}"
            self._parts["speed"] = f"{event['tokens_per_s']:,.0f} tokens/s"
            if event["mfu"] is not None:
                self._parts["utilisation"] = f"{event['mfu']:.1%} of the device's peak"
        if "validation_loss" in event:
            self._parts["validation"] = (
                f"validation {event['validation_loss']:.4f} ({event['bits_per_byte']:.4f} bits per byte)"
            )
        return ", ".join(self._parts.values())


class LineObserver:
    """Prints lines, none more often than every few seconds but the first, validations and the last."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._words = _Words()
        self._steps = 0
        self._last_line = 0.0

    def notice(self, words: str) -> None:
        """Print it."""
        self._console.print(words, markup=False, soft_wrap=True)

    def begins(self, *, steps: int, tokens: int, done_steps: int) -> None:
        """Print what is about to happen."""
        self._steps = steps
        before = f", {done_steps} of them done" if done_steps else ""
        self.notice(f"training {steps} steps, {tokens:,} tokens{before}")

    def progressed(self, event: Mapping[str, Any]) -> None:
        """Print now and then how far it is."""
        words = self._words.take(event)
        is_due = time.monotonic() - self._last_line >= _LINE_EVERY_S
        if is_due or "validation_loss" in event:
            self._last_line = time.monotonic()
            self.notice(f"step {event['step']}/{self._steps}: {words}")


class BarObserver:
    """Moves a bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._words = _Words()
        self._task: TaskID | None = None

    def notice(self, words: str) -> None:
        """Print it above the bar."""
        self._progress.console.print(words, markup=False, soft_wrap=True)

    def begins(self, *, steps: int, tokens: int, done_steps: int) -> None:
        """Show the bar."""
        del tokens
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task("training", total=steps, completed=done_steps, words="")

    def progressed(self, event: Mapping[str, Any]) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=event["step"], words=self._words.take(event))
