"""The launcher's view of a training on Ray Train: messages handed on, losses and waiting said in words."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import ray

from nas.executors.ray_capacity import ClusterRoom
from nas.interrupt import Interrupts
from nas.winners.launching.board import News
from nas.winners.parallel.config import ParallelConfig

_LOOK_EVERY_S: Final = 0.2
_WAITING_WORDS_AFTER_S: Final = 30.0


@dataclass(slots=True, kw_only=True)
class Watch:
    """Looks at the board until Ray Train has ended."""

    board: Any
    room: ClusterRoom
    on_message: Callable[[Any], None]
    say: Callable[[str], None]
    config: ParallelConfig
    interrupts: Interrupts
    last_loss: str | None = None
    _num_beginnings: int = 0
    _idle_since: float | None = field(default_factory=time.monotonic)
    """When the workers were last heard not to be training; none while they are."""

    _has_said_waiting: bool = False

    def until_done(self, fit: "Future[Any]") -> None:
        """Return when it has ended, well or not.

        Raises:
            KeyboardInterrupt: it was interrupted while no worker was training, who could have written a checkpoint.
            Exception: the same, and the training had failed.
        """
        while not fit.done():
            time.sleep(_LOOK_EVERY_S)
            self._look()
            if self.interrupts.were_received and self._idle_since is not None:
                failure: Exception | None = ray.get(self.board.failure.remote())
                raise failure or KeyboardInterrupt
        self._look()

    def _look(self) -> None:
        news: News = ray.get(self.board.take.remote())
        for message in news.messages:
            self.on_message(message)
        for loss in news.losses:
            self.last_loss = loss
            self._idle_since = time.monotonic()
            self.say(f"The training lost a process ({loss}).")
        if news.num_beginnings > self._num_beginnings:
            self._num_beginnings = news.num_beginnings
            self._idle_since, self._has_said_waiting = None, False
            if self._num_beginnings > 1:
                self.say(
                    f"It begins anew from its last checkpoint: restart {self._num_beginnings - 1} of at most "
                    f"{self.config.restarts}."
                )
        if (
            self._idle_since is not None
            and time.monotonic() - self._idle_since > _WAITING_WORDS_AFTER_S
            and not self._has_said_waiting
        ):
            self._has_said_waiting = True
            self.say(
                f"Waiting for room on the Ray cluster: its nodes hold {self.room.num_fitting} of "
                f"{self.config.processes} processes, if nothing else ran there."
            )
