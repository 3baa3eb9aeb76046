"""One process's part of a training, and its link to who started it. How processes start is `launch.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from nas.winners.parallel.protocol import Parallel

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a process of a training and its launcher tell each other."""

    send: Callable[[Any], None]
    """Hands a picklable message to `on_message` of the launcher; the first process's are meant for people."""

    should_stop: Callable[[], bool]
    """Whether an interrupt has come: write a checkpoint and return. Processes may learn of it at different steps, so
    that they have to agree first. Costs little: it looks at most once a second."""


class TrainingPart(Protocol[T_co]):
    """What every process does; picklable, as is what it returns."""

    def __call__(self, parallel: Parallel, *, link: Link) -> T_co:
        """Train this process's share."""
