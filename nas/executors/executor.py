"""What the engine asks of an executor."""

from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar, cast, get_args

from nas.candidates import Candidate, Evaluated, Failed, FailureKind, Outcome, Stopped
from proxies.rungs import Rungs
from search_spaces.errors import near_miss

G = TypeVar("G", bound=Hashable)
G_contra = TypeVar("G_contra", bound=Hashable, contravariant=True)

Evaluate = Callable[[G, int], Outcome]
"""Evaluates a genome under a seed. Must be picklable for executors in other processes. Candidates that may be stopped
early bring `rungs`, handed over by that name; an evaluation that never sees such candidates need not take it."""


_ITS_OWN: Final = (Exception, SystemExit, GeneratorExit, CancelledError)
"""What an evaluation may raise by itself. Anything else, such as KeyboardInterrupt, is the process's affair."""


class EvaluateWithRungs(Protocol[G_contra]):
    """An evaluation that may be stopped early."""

    def __call__(self, genome: G_contra, seed: int, /, *, rungs: Rungs) -> Outcome:
        """Evaluate a genome, and return `Stopped` where it did worse at a rung than it may."""


class Executor(ABC, Generic[G]):
    """Runs evaluations, each once, and hands back what came of them."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """How many candidates it can hold at once; it may change as a cluster grows and shrinks."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the machines it evaluates on, where there are others than this one."""
        return ()

    @abstractmethod
    def submit(self, candidate: Candidate[G]) -> None:
        """Start, or queue, the evaluation of a candidate."""

    @abstractmethod
    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return (trial number, outcome) of what ended, waiting up to `timeout_s` for the first."""

    @abstractmethod
    def shutdown(self) -> None:
        """Abandon what is running and free what is held. Safe to call twice."""


def evaluate_safely(evaluate: Evaluate[G], genome: G, seed: int, rungs: Rungs | None = None) -> Outcome:
    """Return the outcome of an evaluation, an exception becoming a failure of kind `bug`.

    The traceback's last lines travel with it: the one who reads the report has no other way to the worker's log.
    """
    import traceback

    try:
        outcome = (
            evaluate(genome, seed) if rungs is None else cast(EvaluateWithRungs[G], evaluate)(genome, seed, rungs=rungs)
        )
    except MemoryError as error:
        return Failed("host_out_of_memory", str(error) or "The host ran out of memory.")
    except _ITS_OWN as error:  # a candidate never ends a run: whatever it raised is its result
        lines = traceback.format_exc().strip().splitlines()
        return Failed("bug", f"{type(error).__name__}: {error}\n" + "\n".join(lines[-6:]))
    if not isinstance(outcome, Evaluated | Stopped | Failed):
        return Failed("bug", f"The evaluation returned {type(outcome).__name__}, not Evaluated or Failed.")
    kinds = get_args(FailureKind)
    if isinstance(outcome, Failed) and outcome.kind not in kinds:
        hint = near_miss(str(outcome.kind), kinds)
        return Failed("bug", f"The evaluation failed in an unknown way, {outcome.kind!r}.{hint} {outcome.message}")
    return outcome


def timed_out(deadline_s: float) -> Failed:
    """Return the outcome of an evaluation that ran longer than it may."""
    return Failed("timeout", f"The evaluation ran longer than its deadline of {deadline_s:g} s and was ended.")
