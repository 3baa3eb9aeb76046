"""What one architecture costs in detail: the least its operators can take, and its memory as the context grows."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from dashboards.frame import MemoryAt, Priced
from latency.memory import DTYPE_BYTES
from latency.predict import floor_ms_by_operator
from latency.table import LatencyTable
from latency.workload import Workload
from operators.cost import state_bytes, weight_bytes
from search_spaces import Architecture

_CONTEXTS: Final = (0, 1024, 4096, 16_384, 65_536, 131_072)
"""Tokens, beside those of the workload."""


def pricer(workload: Workload, table: LatencyTable | None) -> Callable[[Architecture], Priced]:
    """Return what prices architectures in detail.

    Args:
        workload: its batch, dtype and tokens count.
        table: knows the device's bandwidth; without one there are no floors.
    """

    @lru_cache(maxsize=256)
    def price(architecture: Architecture) -> Priced:
        return Priced(
            floor_ms_by_operator={} if table is None else floor_ms_by_operator(architecture, workload, table),
            memory=_memory(architecture, workload),
        )

    return price


def _memory(architecture: Architecture, workload: Workload) -> tuple[MemoryAt, ...]:
    element = DTYPE_BYTES[workload.dtype]
    weights = weight_bytes(architecture, dtype_bytes=element)
    return tuple(
        MemoryAt(
            context_tokens=tokens,
            weight_bytes=weights,
            state_bytes=state_bytes(
                architecture, batch_size=workload.batch_size, context_tokens=tokens, dtype_bytes=element
            ),
        )
        for tokens in sorted({*_CONTEXTS, workload.max_tokens})
    )
