"""A device of a Ray cluster, lent whole: tasks that hold it alone and hand over what they find as they find it.

Placement, losses and errors only; what is measured is `nas/remote_measuring.py`. Ray's own retries are off: a task that
ran again from its start would measure again what has arrived.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from latency.device import DeviceMismatchError
from nas.errors import ResourceError
from search_spaces.errors import NasError

POLL_S: Final = 1.0
NODES_GRACE_S: Final = 30.0
"""How long a task waits for a node to come back where there was one: Ray notices a death, and a return, in seconds."""

WAITING_WORDS_AFTER_S: Final = 20.0

BEGIN_WITHIN_S: Final = 300.0
"""A task that has not begun by then is asked for anew: Ray may have given it to a node that died meanwhile."""

_ACCELERATOR: Final = "accelerator_type:"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDemand:
    """What a node must have, and what a task holds of it."""

    num_cpus: int
    """Threads it computes with."""

    num_gpus: int
    """Whole ones: a share of a GPU is no isolation."""

    accelerator: str | None
    """Ray's name of the accelerator, such as `H100`; none takes any."""

    def describe(self) -> str:
        """Return short words, such as `1 CPU and 1 GPU (H100)`."""
        words = f"{self.num_cpus} CPU"
        if self.num_gpus:
            words += f" and {self.num_gpus} GPU"
        return words if self.accelerator is None else f"{words} ({self.accelerator})"


class LostTaskError(RuntimeError):
    """The process or the node of a task ended before the task did; what it had handed over has arrived."""

    def __init__(self, message: str, *, only_process: bool) -> None:
        super().__init__(message)
        self.only_process = only_process
        """Whether Ray saw the node survive, so that the work itself may be what ended it."""


class RayDevice:
    """Runs generators on nodes of the connected cluster that meet a demand, one at a time."""

    def __init__(self, demand: DeviceDemand, *, notice: Callable[[str], None]) -> None:
        """Take the cluster that Ray is connected to.

        Args:
            demand: what a task holds while it runs.
            notice: is told when a device is waited for.
        """
        import ray

        self._ray: Any = ray
        self._demand = demand
        self._notice = notice
        self._unfit: set[str] = set()
        self._was_offered = False
        # A process that has held a GPU keeps some of its memory until it ends.
        self._task = ray.remote(max_calls=1)(_with_node_first)

    def obstacle(self) -> str | None:
        """Return why no node meets the demand, naming what the cluster has, or none."""
        if self._offering():
            return None
        return (
            f"no node of the Ray cluster offers {self._demand.describe()}; the cluster has {_describe(self._alive())}"
        )

    def stream(self, name: str, function: Callable[..., Iterable[Any]], *arguments: Any) -> Iterator[list[Any]]:
        """Yield what a generator function yields on a node, in order, as lists of all that is there.

        A node on which it raises DeviceMismatchError at its start is left aside, and another one is tried.

        Args:
            name: of the task, for Ray's dashboard.
            function: a generator function that can be pickled.
            arguments: its arguments.

        Raises:
            LostTaskError: its process or node was lost; the caller asks again for what is left.
            ResourceError: no node meets the demand, or the function raised what is no error of ours.
            NasError: what the function raised.
        """
        while True:
            node = ""
            try:
                # Its first item comes the moment it begins; nothing is lost where none came.
                for items in self._attempt(name, function, arguments):
                    if not node:
                        node, *items = items
                    if items:
                        yield items
            except DeviceMismatchError:
                self._unfit.add(node)
                if not node or not self._fitting():
                    raise
            else:
                if node:
                    return

    def _attempt(
        self, name: str, function: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]
    ) -> Iterator[list[Any]]:
        obstacle = self._lasting_obstacle()
        if obstacle is not None:
            raise ResourceError(f"Latency must be measured on a device that is there: {obstacle}. {_REMEDY}")
        generator: Any = self._task.options(name=name, **self._options()).remote(function, arguments)
        try:
            has_begun = False
            while True:
                if not self._wait(generator, timeout_s=None if has_begun else BEGIN_WITHIN_S):
                    return
                has_begun = True
                arrived: list[Any] = []
                ended: BaseException | None = None
                while ended is None and (not arrived or self._is_ready(generator)):
                    try:
                        arrived.append(self._get(next(generator)))
                    except (StopIteration, NasError, LostTaskError) as error:
                        ended = error
                if arrived:
                    yield arrived
                if isinstance(ended, StopIteration):
                    return
                if ended is not None:
                    raise ended
        finally:
            with contextlib.suppress(Exception):  # it has ended, or the cluster is gone: nothing is left to cancel
                self._ray.cancel(generator, force=True)

    def _lasting_obstacle(self) -> str | None:
        """Return the obstacle, one that was not there before only after it has lasted."""
        deadline = time.monotonic() + NODES_GRACE_S
        while (obstacle := self.obstacle()) is not None and self._was_offered and time.monotonic() < deadline:
            time.sleep(POLL_S)
        self._was_offered = self._was_offered or obstacle is None
        return obstacle

    def _wait(self, generator: Any, *, timeout_s: float | None) -> bool:
        """Wait until the generator has something or has ended; return whether it did within the time, if any."""
        started = placeable = time.monotonic()
        has_said = False
        while not self._is_ready(generator, timeout_s=POLL_S):
            now = time.monotonic()
            if self._offering():
                placeable = now
            elif now - placeable > NODES_GRACE_S:
                raise LostTaskError(str(self.obstacle()), only_process=False)
            if not has_said and now - started > WAITING_WORDS_AFTER_S and not self._is_free():
                self._notice(f"Waiting for {self._demand.describe()} of the Ray cluster to be free.")
                has_said = True
            if timeout_s is not None and now - started > timeout_s:
                return False
        return True

    def _is_ready(self, generator: Any, *, timeout_s: float = 0) -> bool:
        ready, _ = self._ray.wait([generator], timeout=timeout_s, fetch_local=False)
        return bool(ready)

    def _get(self, reference: Any) -> Any:
        exceptions = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, NasError):
                raise error.cause from None
            raise ResourceError(
                f"Measuring on the Ray cluster failed: {type(error.cause).__name__}: {error.cause}."
            ) from error
        except exceptions.RayError as error:
            only_process = isinstance(error, exceptions.WorkerCrashedError | exceptions.OutOfMemoryError)
            words = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            raise LostTaskError(words, only_process=only_process) from error

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "num_cpus": self._demand.num_cpus,
            "num_gpus": self._demand.num_gpus,
            "max_retries": 0,
            "num_returns": "streaming",
        }
        if self._demand.accelerator is not None:
            options["accelerator_type"] = self._demand.accelerator
        if self._unfit and (fitting := self._fitting()):
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(fitting[0]["NodeID"], soft=False)
        return options

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _offering(self) -> list[dict[str, Any]]:
        asked: dict[str, float] = {"CPU": self._demand.num_cpus, "GPU": self._demand.num_gpus}
        if self._demand.accelerator is not None:
            asked[_ACCELERATOR + self._demand.accelerator] = 0.001  # what Ray's own constraint takes
        return [
            node
            for node in self._alive()
            if all(node["Resources"].get(name, 0) >= amount for name, amount in asked.items())
        ]

    def _fitting(self) -> list[dict[str, Any]]:
        return [node for node in self._offering() if node["NodeID"] not in self._unfit]

    def _is_free(self) -> bool:
        available = self._ray.available_resources()
        return bool(
            available.get("GPU", 0) >= self._demand.num_gpus and available.get("CPU", 0) >= self._demand.num_cpus
        )


_REMEDY: Final = (
    "Join a cluster that has it (resources.address), ask for another (latency.device, latency.accelerator), or give a "
    "table measured there (latency.table)."
)


def _describe(nodes: list[dict[str, Any]]) -> str:
    """Return what nodes have, such as `64 CPU and 8 GPU (A100) on 2 nodes`."""
    totals = {name: sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
    kinds = sorted({name for node in nodes for name in node["Resources"] if name.startswith(_ACCELERATOR)})
    names = ", ".join(kind.removeprefix(_ACCELERATOR) for kind in kinds)
    words = f"{totals['CPU']:g} CPU and {totals['GPU']:g} GPU" + (f" ({names})" if names else "")
    return f"{words} on {len(nodes)} node{'' if len(nodes) == 1 else 's'}"


def _with_node_first(function: Callable[..., Iterable[Any]], arguments: tuple[Any, ...]) -> Iterator[Any]:
    import ray

    yield ray.get_runtime_context().get_node_id()
    yield from function(*arguments)
