"""Evaluate on a Ray cluster: one task a candidate, begun once.

Ray's own retries are off: what was lost is reported, and the engine decides whether the candidate is tried again. Only
the driver writes the run directory.
"""

import contextlib
import os
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from nas.candidates import Candidate, Failed, Outcome
from nas.executors.executor import Evaluate, Executor, evaluate_safely
from nas.executors.ray_capacity import CandidateResources, ClusterRoom
from nas.executors.ray_connection import connect, disconnect
from nas.executors.ray_device import BEGIN_WITHIN_S, POLL_S, WAITING_WORDS_AFTER_S
from proxies.rungs import Rungs

G = TypeVar("G", bound=Hashable)

_GET_WITHIN_S: Final = 60.0
"""An outcome that is ready but cannot be fetched within this time lies on a node that is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a candidate began."""

    node_id: str
    address: str
    """IP address of the node."""

    process: int
    gpus: tuple[str, ...]
    """Numbers of the node's GPUs that the process sees."""


@dataclass(slots=True, kw_only=True)
class _Task(Generic[G]):
    """A candidate on its way through the cluster."""

    candidate: Candidate[G]
    stream: Any
    submitted_at: float
    place: Place | None = None
    began_at: float = 0.0
    """When the driver heard that it began; clocks of other machines are not compared."""


class RayExecutor(Executor[G], Generic[G]):
    """Tasks on a Ray cluster, as many at once as its nodes hold."""

    def __init__(
        self,
        evaluate: Evaluate[G],
        *,
        address: str,
        resources: CandidateResources,
        max_parallel: int | None,
        deadline_s: float | None = None,
        autoscaling: bool = False,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            evaluate: put into the object store once and shared by all tasks of a node.
            address: `local` starts a cluster that ends with this process, `auto` joins the one running here,
                `HOST:PORT` joins another.
            resources: of one candidate.
            max_parallel: most candidates at once; none means what the cluster holds.
            deadline_s: seconds an evaluation may take from its beginning on a node; what takes longer is killed.
            autoscaling: the cluster adds nodes when they are asked for, so it may hold none yet; needs `max_parallel`.
            notice: is told when nothing runs because no node has room.

        Raises:
            ResourceError: the address does not answer, or no node can ever hold one candidate.
            ValueError: autoscaling without `max_parallel`.
        """
        if autoscaling and max_parallel is None:
            raise ValueError("autoscaling needs max_parallel: how many candidates room is asked for.")
        import ray

        self._ray: Any = ray
        self._tasks: dict[int, _Task[G]] = {}
        self._room: ClusterRoom | None = None
        self._max_parallel = max_parallel
        self._deadline_s = deadline_s
        self._autoscaling = autoscaling
        self._notice = notice
        self._nothing_runs_since: float | None = None
        self._has_said_waiting = False
        self._resources = resources
        self._owns_connection = connect(address)
        try:
            self._room = ClusterRoom(resources)
            if autoscaling and max_parallel is not None:
                self._room.ask_for(max_parallel)
            else:
                self._room.check()
            self._evaluate_ref = ray.put(evaluate)
        except BaseException:
            self.shutdown()
            raise
        # A process that has held a GPU keeps some of its memory until it ends. `max_calls` is no option of a call.
        remote = ray.remote(max_calls=1) if resources.num_gpus > 0 else ray.remote
        self._remote: Any = remote(_evaluate_remotely)

    @property
    def capacity(self) -> int:
        """How many candidates it takes now: what the nodes alive hold, never none, at most `max_parallel`.

        With autoscaling one more, so that the cluster sees something waiting.
        """
        fitting = 0 if self._room is None else self._room.num_fitting
        wanted = fitting + 1 if self._autoscaling else max(1, fitting)
        return wanted if self._max_parallel is None else min(wanted, self._max_parallel)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Host names of the nodes that are alive, as last read."""
        return () if self._room is None else self._room.host_names

    def submit(self, candidate: Candidate[G]) -> None:
        """Start a task for the candidate; it begins when a node has room."""
        task = self._remote.options(
            name=f"trial-{candidate.number}",
            num_cpus=self._resources.num_cpus,
            num_gpus=self._resources.num_gpus,
            memory=self._resources.memory_bytes,
            max_retries=0,
            retry_exceptions=False,
            num_returns="streaming",
        )
        stream = task.remote(self._evaluate_ref, candidate.genome, candidate.seed, candidate.rungs)
        self._tasks[candidate.number] = _Task(candidate=candidate, stream=stream, submitted_at=time.monotonic())

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return what ended within `timeout_s`, in the order it was submitted."""
        until = time.monotonic() + timeout_s
        while self._tasks:
            ended = self._ended()
            left_s = until - time.monotonic()
            if ended or left_s <= 0:
                return ended
            self._ready(timeout_s=min(left_s, POLL_S), num=1)
        return []

    def shutdown(self) -> None:
        """Kill what is running, ask for no more room, end the cluster if it was started here. Raises nothing."""
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            self._kill(task)
        if self._room is not None:
            self._room.release()
        if self._owns_connection:
            self._owns_connection = False
            disconnect()

    def _ready(self, *, timeout_s: float, num: int) -> list[Any]:
        """Return the streams that have something, waiting for `num` of them."""
        streams = [task.stream for task in self._tasks.values()]
        ready, _ = self._ray.wait(streams, num_returns=num, timeout=timeout_s, fetch_local=False)
        return list(ready)

    def _ended(self) -> list[tuple[int, Outcome]]:
        """Take along everything that has arrived, and end what took too long."""
        ready = set(map(id, self._ready(timeout_s=0, num=len(self._tasks))))
        ended: list[tuple[int, Outcome]] = []
        for number, task in list(self._tasks.items()):
            outcome = self._arrived(task) if id(task.stream) in ready else None
            if outcome is None:
                outcome = self._overdue(task)
            if outcome is not None:
                del self._tasks[number]
                ended.append((number, outcome))
        self._say_if_nothing_runs()
        return ended

    def _arrived(self, task: _Task[G]) -> Outcome | None:
        """Return the outcome if it is there; remember where and that the task began."""
        while self._ray.wait([task.stream], timeout=0, fetch_local=False)[0]:
            try:
                item: Place | Outcome = self._ray.get(next(task.stream), timeout=_GET_WITHIN_S)
            except self._ray.exceptions.RayError as error:
                return self._failure(error, task)
            except StopIteration:
                return Failed("lost_worker", f"The evaluation's process ended without an outcome {self._where(task)}.")
            if not isinstance(item, Place):
                return item
            task.place = item
            task.began_at = time.monotonic()
        return None

    def _overdue(self, task: _Task[G]) -> Outcome | None:
        """End an evaluation that is over its deadline; submit anew one that does not begin."""
        now = time.monotonic()
        if task.place is None:
            if now - task.submitted_at > BEGIN_WITHIN_S:
                self._kill(task)
                self.submit(task.candidate)
        elif self._deadline_s is not None and now - task.began_at > self._deadline_s:
            self._kill(task)
            return Failed(
                "timeout",
                f"The evaluation {self._where(task)} ran longer than its deadline of {self._deadline_s:g} s "
                "(resources.deadline_s).",
            )
        return None

    def _failure(self, error: Exception, task: _Task[G]) -> Failed:
        exceptions = self._ray.exceptions
        # What was raised around the evaluation there, such as a package that is missing or an outcome with a lock.
        told = error.cause if isinstance(error, exceptions.RayTaskError) else error
        words = f"{type(told).__name__} {self._where(task)}: {_first_line(told)}"
        if isinstance(error, exceptions.OutOfMemoryError):
            return Failed(
                "host_out_of_memory",
                f"{words} Reserve what a candidate takes with resources.memory_gib_per_candidate.",
            )
        lost = (
            exceptions.WorkerCrashedError,
            exceptions.NodeDiedError,
            exceptions.LocalRayletDiedError,
            exceptions.ObjectLostError,
            exceptions.GetTimeoutError,
            exceptions.TaskCancelledError,  # by someone else: what is cancelled here is not asked for its outcome
        )
        return Failed("lost_worker" if isinstance(error, lost) else "bug", words)

    def _where(self, task: _Task[G]) -> str:
        if task.place is None or self._room is None:
            return "before it was heard to begin"
        place = task.place
        gpus = f", GPU {', '.join(place.gpus)}" if place.gpus else ""
        return f"on node {self._room.host_name(place.node_id)} ({place.address}, process {place.process}{gpus})"

    def _kill(self, task: _Task[G]) -> None:
        with contextlib.suppress(Exception):  # it has ended, or the cluster is gone: nothing is left to kill
            self._ray.cancel(task.stream, force=True)

    def _say_if_nothing_runs(self) -> None:
        now = time.monotonic()
        if not self._tasks or any(task.place for task in self._tasks.values()):
            self._nothing_runs_since, self._has_said_waiting = None, False
            return
        self._nothing_runs_since = self._nothing_runs_since or now
        if not self._has_said_waiting and now - self._nothing_runs_since > WAITING_WORDS_AFTER_S:
            self._has_said_waiting = True
            self._notice(f"Waiting for a node of the Ray cluster with room for {self._resources.describe()}.")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no words").rstrip(".") + "."


def _evaluate_remotely(evaluate: Evaluate[G], genome: G, seed: int, rungs: Rungs | None) -> Iterator[Place | Outcome]:
    import ray

    context = ray.get_runtime_context()
    yield Place(
        node_id=context.get_node_id(),
        address=ray.util.get_node_ip_address(),  # type: ignore[no-untyped-call]  # of Ray, which has no types for it
        process=os.getpid(),
        gpus=tuple(map(str, context.get_accelerator_ids().get("GPU", ()))),
    )
    yield evaluate_safely(evaluate, genome, seed, rungs)
