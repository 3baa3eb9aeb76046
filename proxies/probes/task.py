"""What a probe task is: sequences of tokens that ask questions whose answers stand, or stood, in the same sequence.

Only numpy; how a task is learnt is `probe.py`.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from proxies.errors import SettingsError

IGNORED: Final = -100
"""The label of a token after which nothing is asked; what torch's cross entropy leaves out."""

AnsweredFrom = Literal["every_token", "last_token"]
"""Whether a label is predicted from the stream at its own token, or all are decoded from that at the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """Sequences of one length with what is asked in them."""

    tokens: NDArray[np.int64]
    """Ids [N, T]."""

    labels: NDArray[np.int64]
    """Ids [N, T]: where a task is answered from every token, the answer to give after this token and those before; else
    the answer asked for at this position. `IGNORED` where nothing is asked."""


class ProbeTask(Protocol):
    """A generator of questions; a frozen dataclass whose fields say how hard they are."""

    @property
    def vocab_size(self) -> int:
        """Tokens that may occur, special ones included."""

    @property
    def num_tokens(self) -> int:
        """Length of a sequence."""

    @property
    def chance(self) -> float:
        """Accuracy of the best answer that does not look at the sequence."""

    @property
    def answered_from(self) -> AnsweredFrom:
        """Where a model answers."""

    def sample(self, num_sequences: int, *, rng: np.random.Generator) -> Questions:
        """Return fresh sequences, decided by `rng`."""


def check_at_least(task: object, **minimums: int) -> None:
    """Check whole numbers among a task's fields.

    Raises:
        SettingsError: one is not a whole number, or less than its minimum.
    """
    for name, minimum in minimums.items():
        value = getattr(task, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
            raise SettingsError(
                f"{type(task).__name__}.{name} must be a whole number of at least {minimum}; got {value!r}."
            )


def unasked(tokens_NT: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return labels for these tokens that ask nothing yet."""
    return np.full_like(tokens_NT, IGNORED)


def distinct(num_sequences: int, count: int, *, of: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return `count` different numbers below `of` for each sequence, in random order."""
    return rng.random((num_sequences, of)).argsort(axis=1)[:, :count].astype(np.int64)


def put(array_NT: NDArray[np.int64], positions_NP: NDArray[Any], values_NP: NDArray[np.int64]) -> None:
    """Write values at positions of each sequence, in place."""
    np.put_along_axis(array_NT, positions_NP, values_NP, axis=1)
