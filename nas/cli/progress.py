"""Progress of a search: a live bar on a terminal, else a line per few results. Always on standard error."""

import time
from contextlib import AbstractContextManager
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress, TaskID, TimeElapsedColumn

from nas.candidates import Candidate, Failed, Record
from nas.cli.standard_error import bar_or_lines
from nas.search import SearchObserver

_LINE_EVERY_S: Final = 10.0


def make_observer() -> AbstractContextManager[SearchObserver]:
    """Give the observer that suits standard error."""
    return bar_or_lines(bar=BarObserver, lines=LineObserver, time_column=TimeElapsedColumn())


class _Tally:
    """Counts of one session and the best so far."""

    def __init__(self) -> None:
        self.num_total = 0
        self.num_ended = 0
        self.num_failed = 0
        self.num_stopped = 0
        self.best: Record[Any] | None = None
        self._num_before = 0
        self._num_parallel = 1
        self._since = time.monotonic()

    def begin(self, *, num_total: int, num_parallel: int, finished: list[Record[Any]]) -> None:
        self.num_total = num_total
        self._num_parallel = num_parallel
        for record in finished:
            self.add(record)
        self._num_before = self.num_ended
        self._since = time.monotonic()

    def add(self, record: Record[Any]) -> None:
        self.num_ended += 1
        self.num_failed += record.failure is not None
        self.num_stopped += record.status == "stopped"
        # Trainings of several lengths have no latency, and no best.
        if record.status == "finished" and not record.is_repeat and "latency_ms" in record.objectives:
            best = None if self.best is None else self.best.objectives["perplexity"]
            if best is None or record.objectives["perplexity"] < best:
                self.best = record

    def words(self) -> str:
        """Best so far, failures, and the time left at this session's pace."""
        parts = []
        if self.best is not None:
            values = self.best.objectives
            parts.append(f"best {values['perplexity']:.3f} at {values['latency_ms']:.2f} ms")
        if self.num_failed:
            parts.append(f"{self.num_failed} failed")
        if self.num_stopped:
            parts.append(f"{self.num_stopped} stopped early")
        done = self.num_ended - self._num_before
        if done >= self._num_parallel:
            left_s = (time.monotonic() - self._since) / done * (self.num_total - self.num_ended)
            parts.append(f"{_duration(left_s)} left")
        return ", ".join(parts)


class LineObserver:
    """Prints lines, none more often than every few seconds but the first and the last."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tally = _Tally()
        self._last_line = 0.0

    def notice(self, words: str) -> None:
        """Print it."""
        self._console.print(words, markup=False, soft_wrap=True)

    def measuring(self, done: int, total: int, words: str) -> None:
        """Print now and then how far measuring is."""
        if done == total or self._is_due():
            self._line(f"measuring latency {done}/{total}: {words}")

    def checking(self, done: int, total: int, words: str) -> None:
        """Print now and then how many models were timed whole."""
        if done == total or self._is_due():
            self._line(f"timing whole models {done}/{total}: {words}")

    def begins(self, *, num_candidates: int, num_repeats: int, num_parallel: int, finished: list[Record[Any]]) -> None:
        """Print what is about to happen."""
        self._tally.begin(num_total=num_candidates + num_repeats, num_parallel=num_parallel, finished=finished)
        before = f", {len(finished)} already done" if finished else ""
        self._line(f"training {self._tally.num_total} candidates, {num_parallel} at a time{before}")

    def started(self, candidate: Candidate[Any]) -> None:
        """Say nothing."""

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
        """Print that it begins once more, and why."""
        self.notice(f"trial {candidate.number} begins once more ({failure.kind}): {failure.message.splitlines()[0]}")

    def ended(self, record: Record[Any]) -> None:
        """Print now and then how far the search is."""
        self._tally.add(record)
        if self._tally.num_ended == self._tally.num_total or self._is_due():
            self._line(f"trained {self._tally.num_ended}/{self._tally.num_total}: {self._tally.words()}")

    def tick(self) -> None:
        """Say nothing."""

    def _is_due(self) -> bool:
        return time.monotonic() - self._last_line >= _LINE_EVERY_S

    def _line(self, words: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(words, markup=False, soft_wrap=True)


class BarObserver:
    """Moves a bar for measuring and one for training."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tally = _Tally()
        self._measuring: TaskID | None = None
        self._checking: TaskID | None = None
        self._training: TaskID | None = None

    def notice(self, words: str) -> None:
        """Print it above the bars."""
        self._progress.console.print(words, markup=False, soft_wrap=True)

    def measuring(self, done: int, total: int, words: str) -> None:
        """Move the bar of measuring."""
        if self._measuring is None:
            self._measuring = self._progress.add_task("measuring latency", total=total, words="")
        self._progress.update(self._measuring, completed=done, words=words if done < total else "")

    def checking(self, done: int, total: int, words: str) -> None:
        """Move the bar of timing whole models: one before the search, one after it."""
        if self._checking is None or done == 1:
            self._checking = self._progress.add_task("timing whole models", total=total, words="")
        self._progress.update(self._checking, completed=done, words=words if done < total else "")

    def begins(self, *, num_candidates: int, num_repeats: int, num_parallel: int, finished: list[Record[Any]]) -> None:
        """Show the bar of training."""
        self._tally.begin(num_total=num_candidates + num_repeats, num_parallel=num_parallel, finished=finished)
        self._training = self._progress.add_task(
            f"training, {num_parallel} at a time",
            total=self._tally.num_total,
            completed=self._tally.num_ended,
            words=self._tally.words(),
        )

    def started(self, candidate: Candidate[Any]) -> None:
        """Show nothing: the bar counts what ended."""

    def retried(self, candidate: Candidate[Any], failure: Failed) -> None:
        """Print that it begins once more, and why."""
        self.notice(f"trial {candidate.number} begins once more ({failure.kind}): {failure.message.splitlines()[0]}")

    def ended(self, record: Record[Any]) -> None:
        """Move the bar of training."""
        self._tally.add(record)
        self.tick()

    def tick(self) -> None:
        """Refresh the time left."""
        if self._training is not None:
            self._progress.update(self._training, completed=self._tally.num_ended, words=self._tally.words())


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
