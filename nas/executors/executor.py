"""What the engine asks of an executor."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from nas.candidates import Candidate, Evaluated, Failed, Outcome

G = TypeVar("G", bound=Hashable)

Evaluate = Callable[[G, int], Outcome]
"""Evaluates a genome under a seed. Must be picklable for executors in other processes."""


class Executor(ABC, Generic[G]):
    """Runs evaluations, each once, and hands back what came of them."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many candidates it can hold at once; it may change as a cluster grows and shrinks."""

    @abstractmethod
    def submit(self, candidate: Candidate[G]) -> None:
        """Start, or queue, the evaluation of a candidate."""

    @abstractmethod
    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return (trial number, outcome) of what ended, waiting up to `timeout_s` for the first."""

    @abstractmethod
    def shutdown(self) -> None:
        """Abandon what is running and free what is held. Safe to call twice."""


def evaluate_safely(evaluate: Evaluate[G], genome: G, seed: int) -> Outcome:
    """Return the outcome of an evaluation, an exception becoming a failure of kind `bug`.

    The traceback's last lines travel with it: the one who reads the report has no other way to the worker's log.
    """
    import traceback

    try:
        outcome = evaluate(genome, seed)
    except MemoryError as error:
        return Failed("host_out_of_memory", str(error) or "The host ran out of memory.")
    except (Exception, SystemExit) as error:  # a candidate never ends a run: whatever it raised is its result
        lines = traceback.format_exc().strip().splitlines()
        return Failed("bug", f"{type(error).__name__}: {error}\n" + "\n".join(lines[-6:]))
    if not isinstance(outcome, Evaluated | Failed):
        return Failed("bug", f"The evaluation returned {type(outcome).__name__}, not Evaluated or Failed.")
    return outcome


def timed_out(deadline_s: float) -> Failed:
    """Return the outcome of an evaluation that ran longer than it may."""
    return Failed("timeout", f"The evaluation ran longer than its deadline of {deadline_s:g} s and was ended.")
