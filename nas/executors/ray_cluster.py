"""Evaluate on a Ray cluster: one task a candidate.

Evaluations are idempotent, so a task of a lost node runs again by itself; what a candidate does wrong is its result and
is never retried. Only the driver writes the run directory.
"""

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nas.candidates import Candidate, Failed, Outcome
from nas.errors import ResourceError
from nas.executors.executor import Evaluate, Executor, evaluate_safely

G = TypeVar("G", bound=Hashable)

_CONNECT_TIMEOUT_S = 5.0
_ROUNDING = 1e-6  # ten candidates of a tenth of a GPU fit one
_LOCAL_OBJECT_STORE_BYTES = 512 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResources:
    """What one evaluation holds while it runs."""

    num_cpus: float
    num_gpus: float
    memory_bytes: int | None
    """Host memory reserved; none reserves nothing."""

    max_retries: int
    """How often a task of a lost worker or node is run again."""


class RayExecutor(Executor[G], Generic[G]):
    """Tasks on a Ray cluster, as many at once as its resources hold."""

    def __init__(
        self,
        evaluate: Evaluate[G],
        *,
        address: str,
        resources: CandidateResources,
        max_parallel: int | None,
    ) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            evaluate: put into the object store once and shared by all tasks of a node.
            address: `local` starts a cluster that ends with this process, `auto` joins the one running here,
                `HOST:PORT` joins another.
            resources: of one candidate.
            max_parallel: most candidates at once; none means what the cluster holds.

        Raises:
            ResourceError: the address does not answer, or no node can ever hold one candidate.
        """
        import ray

        self._ray = ray
        with _termination_handler_kept():
            self._owns_connection = _connect(address)
        try:
            fitting = _num_fitting(resources)
            self.capacity = fitting if max_parallel is None else min(max_parallel, fitting)
            self._evaluate_ref = ray.put(evaluate)
        except BaseException:
            self.shutdown()
            raise
        self._task: Any = ray.remote(_evaluate_remotely)
        self._options: dict[str, Any] = {
            "num_cpus": resources.num_cpus,
            "num_gpus": resources.num_gpus,
            "memory": resources.memory_bytes,
            "max_retries": resources.max_retries,
            "retry_exceptions": False,
        }
        self._numbers: dict[Any, int] = {}

    def submit(self, candidate: Candidate[G]) -> None:
        """Start a task for the candidate."""
        task = self._task.options(name=f"trial-{candidate.number}", **self._options)
        reference = task.remote(self._evaluate_ref, candidate.genome, candidate.seed)
        self._numbers[reference] = candidate.number

    def wait(self, *, timeout_s: float) -> list[tuple[int, Outcome]]:
        """Return what ended within `timeout_s`."""
        if not self._numbers:
            return []
        done, _ = self._ray.wait(list(self._numbers), num_returns=1, timeout=timeout_s)
        if done:
            # Others may have ended meanwhile: take them along, in the order they were started.
            done, _ = self._ray.wait(list(self._numbers), num_returns=len(self._numbers), timeout=0)
        return [(self._numbers.pop(reference), self._outcome(reference)) for reference in done]

    def shutdown(self) -> None:
        """Cancel what is running; end the cluster if it was started here."""
        for reference in getattr(self, "_numbers", {}):
            with contextlib.suppress(Exception):  # the cluster may be gone; nothing is left to cancel then
                self._ray.cancel(reference, force=True)
        self._numbers = {}
        if self._owns_connection:
            self._ray.shutdown()
            self._owns_connection = False

    def _outcome(self, reference: Any) -> Outcome:
        exceptions = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(reference)
        except exceptions.OutOfMemoryError as error:
            return Failed("host_out_of_memory", str(error).splitlines()[0])
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError) as error:
            return Failed("lost_worker", f"{type(error).__name__}: {str(error).splitlines()[0]}")
        except exceptions.RayError as error:
            return Failed("bug", f"{type(error).__name__}: {error}")
        return outcome


@contextlib.contextmanager
def _termination_handler_kept() -> Iterator[None]:
    """Keep our own handler of SIGTERM, which ray.init replaces by one that ends the driver at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster; executors inside share the connection.

    Raises:
        ResourceError: the address does not answer.
    """
    import ray

    with _termination_handler_kept():
        owns_connection = _connect(address)
    try:
        yield
    finally:
        if owns_connection:
            ray.shutdown()


def _evaluate_remotely(evaluate: Evaluate[G], genome: G, seed: int) -> Outcome:
    return evaluate_safely(evaluate, genome, seed)


def _connect(address: str) -> bool:
    """Initialise Ray; return whether this call did (and so must shut it down)."""
    import ray

    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    if address == "local":
        ray.init(address="local", include_dashboard=False, object_store_memory=_LOCAL_OBJECT_STORE_BYTES, **quiet)
        return True
    check_address(address)
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ResourceError(
            f"No Ray cluster answers at {address!r} ({str(error).splitlines()[0]}). "
            "Start one with `ray start --head`, or use --address local."
        ) from error
    return True


def check_address(address: str) -> None:
    """Check that a cluster can be expected at an address, without joining it.

    Raises:
        ResourceError: it is no address, or nothing answers there.
    """
    if address in ("local", "auto"):
        return
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        raise ResourceError(f"A Ray address is local, auto or HOST:PORT; got {address!r}.")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ResourceError(
            f"The Ray address {address} does not answer ({error}). "
            "Check host and port (6379 unless changed), or use --address local."
        ) from error


def _num_fitting(resources: CandidateResources) -> int:
    """Return how many candidates the cluster holds at once."""
    import ray

    asked = {"CPU": resources.num_cpus, "GPU": resources.num_gpus, "memory": float(resources.memory_bytes or 0)}
    asked = {name: amount for name, amount in asked.items() if amount > 0}
    list_nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    nodes = [node["Resources"] for node in list_nodes() if node["Alive"]]
    fitting = sum(
        int(min(node.get(name, 0.0) / amount for name, amount in asked.items()) + _ROUNDING) for node in nodes
    )
    if fitting < 1:
        largest = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in asked}
        raise ResourceError(
            "No node of the Ray cluster can hold one candidate: asked for "
            + ", ".join(f"{name}={amount:g}" for name, amount in asked.items())
            + "; the largest node has "
            + ", ".join(f"{name}={amount:g}" for name, amount in largest.items())
            + ". Lower resources.* in the configuration, or join a larger cluster."
        )
    return fitting
