"""The cheap side of a search over language models: latency from the table, parameters and memory by arithmetic."""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, TypeVar

from latency.predict import Prediction, predict
from latency.table import LatencyTable
from latency.workload import Workload
from nas.memory_bound import MemoryBound
from operators.cost import num_parameters
from search_spaces import Architecture, ArchitectureSpace

G = TypeVar("G", bound=Hashable)

_REMEMBERED = 65_536


class Pricing:
    """Prices genomes of one space under one workload and one latency table."""

    def __init__(
        self,
        space: ArchitectureSpace[Any],
        *,
        workload: Workload,
        table: LatencyTable,
        memory: MemoryBound | None = None,
    ) -> None:
        self._space = space
        self._memory = memory
        self._workload = workload
        self._table = table
        # A genome is priced when it is proposed, repaired, checked for duplicates and recorded.
        self._prices: Callable[[Hashable], dict[str, float]] = lru_cache(_REMEMBERED)(self._price)

    def __call__(self, genome: Hashable) -> dict[str, float]:
        """Return latency in milliseconds and parameters of the target architecture, and memory where it is bounded.

        Raises:
            UnmeasuredError: the table lacks an operator of it.
            SpecError: memory is bounded, and it is not known what an operator of it holds.
        """
        return self._prices(genome)

    def predict(self, architecture: Architecture) -> Prediction:
        """Return the latency prediction of one architecture with its breakdown."""
        return predict(architecture, self._workload, self._table)

    def _price(self, genome: Hashable) -> dict[str, float]:
        target = self._space.decode(genome)
        prices = {
            "latency_ms": self.predict(target).milliseconds,
            "num_parameters": float(num_parameters(target)),
        }
        if self._memory is not None:
            prices["memory_gib"] = self._memory.gib_of(target, device=self._table.fingerprint.kind)
        return prices
