"""How many candidates the nodes of a Ray cluster hold, and asking an autoscaler for more of them."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from nas.errors import ResourceError

REREAD_EVERY_S: Final = 2.0
MOST_ASKED_FOR: Final = 1024
"""Candidates an autoscaler is asked to make room for; more of them would only be bin-packed in vain."""

_ROUNDING: Final = 1e-6  # ten candidates of a tenth of a GPU fit one


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResources:
    """What one evaluation holds while it runs."""

    num_cpus: float
    num_gpus: float
    memory_bytes: int | None
    """Host memory reserved; none reserves nothing."""

    @property
    def asked(self) -> dict[str, float]:
        """The amounts above zero, by Ray's names of them."""
        amounts = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": float(self.memory_bytes or 0)}
        return {name: amount for name, amount in amounts.items() if amount > 0}

    def describe(self) -> str:
        """Return short words, such as `CPU=1, GPU=1`."""
        return ", ".join(f"{name}={amount:g}" for name, amount in self.asked.items())


class ClusterRoom:
    """Room for candidates on the nodes that are alive, read anew every few seconds."""

    def __init__(self, resources: CandidateResources) -> None:
        """Take the cluster that Ray is connected to."""
        import ray

        self._list_nodes: Any = ray.nodes
        self._resources = resources
        self._num_fitting = 0
        self._host_names: tuple[str, ...] = ()
        self._read_at: float | None = None
        self._has_asked = False

    @property
    def num_fitting(self) -> int:
        """How many candidates the nodes alive hold at once, all resources of each node counted."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at >= REREAD_EVERY_S:
            alive = self.alive()
            self._num_fitting = sum(self._fitting(node["Resources"]) for node in alive)
            self._host_names = tuple(sorted(str(node["NodeManagerHostname"]) for node in alive))
            self._read_at = now
        return self._num_fitting

    @property
    def host_names(self) -> tuple[str, ...]:
        """Host names of the nodes that were alive when `num_fitting` was last read."""
        return self._host_names

    def alive(self) -> list[dict[str, Any]]:
        """Return the nodes Ray believes alive."""
        return [node for node in self._list_nodes() if node["Alive"]]

    def host_name(self, node_id: str) -> str:
        """Return the host name of a node, dead or alive; its id where Ray has forgotten it."""
        names = (node["NodeManagerHostname"] for node in self._list_nodes() if node["NodeID"] == node_id)
        return next(names, node_id)

    def check(self) -> None:
        """Check that the cluster can ever hold one candidate.

        Raises:
            ResourceError: no node has what is asked for.
        """
        if self.num_fitting >= 1:
            return
        nodes = [node["Resources"] for node in self.alive()]
        largest = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in self._resources.asked}
        raise ResourceError(
            f"No node of the Ray cluster can hold one candidate: asked for {self._resources.describe()}; "
            "the largest node has "
            + ", ".join(f"{name}={amount:g}" for name, amount in largest.items())
            + ". Lower resources.* in the configuration, join a larger cluster, or set resources.autoscaling: true if "
            "the cluster adds nodes when they are asked for."
        )

    def ask_for(self, num_candidates: int) -> None:
        """Ask the cluster's autoscaler for room for so many; in force until `release`, also when this process dies."""
        from ray.autoscaler.sdk import request_resources

        bundle = self._resources.asked
        request_resources(bundles=[bundle] * min(num_candidates, MOST_ASKED_FOR))
        self._has_asked = True

    def release(self) -> None:
        """Take back what was asked for. Raises nothing: the cluster may be gone."""
        if not self._has_asked:
            return
        self._has_asked = False
        from ray.autoscaler.sdk import request_resources

        with contextlib.suppress(Exception):  # nobody is left to be told, and this must not hide why the run ended
            request_resources(bundles=[])

    def _fitting(self, node: Mapping[str, float]) -> int:
        asked = self._resources.asked
        return int(min(node.get(name, 0.0) / amount for name, amount in asked.items()) + _ROUNDING)
