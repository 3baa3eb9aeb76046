"""How fast a device reads its memory: the figure that makes the memory floor of a prediction.

Reading only, of a buffer well beyond all caches; what a floor says for a model is `predict.py`.
"""

import statistics
import time
from typing import Final

import torch
from torch import Tensor

from latency.table import READ_BYTES_PER_SECOND, LatencyTable

_MIB: Final = 2**20

_CPU_BYTES: Final = 256 * _MIB
_CPU_BYTES_PER_THREAD: Final = 32 * _MIB
"""Threads bring caches of their own: up to 12 MiB of the third level a core."""

_CUDA_BYTES: Final = 1024 * _MIB

_ROW_BYTES: Final = 16 * 1024
"""Bytes added up to one number, so that next to nothing is written, and any number of threads have rows to share."""

_WARMUPS: Final = 2
_READINGS: Final = 7
_CUDA_IN_A_ROW: Final = 8
"""Readings between two events; a single one takes a third of a millisecond, of which its launch would be a few percent.
"""


def read_bytes_per_second(device: str, *, num_threads: int) -> float:
    """Return the sustained bandwidth of reading memory, in bytes a second: the median of several readings.

    Args:
        device: `cpu`, `cuda` or `cuda:N`.
        num_threads: CPU threads that torch computes with already; they decide how large a buffer must be.
    """
    is_cuda = torch.device(device).type == "cuda"
    num_bytes = _CUDA_BYTES if is_cuda else _CPU_BYTES + num_threads * _CPU_BYTES_PER_THREAD
    buffer = torch.ones(num_bytes // _ROW_BYTES, _ROW_BYTES // 4, device=device)
    sums = torch.empty(buffer.shape[0], device=device)
    clock = _seconds_on_cuda if is_cuda else _seconds_on_cpu
    for _ in range(_WARMUPS):
        clock(buffer, sums)
    seconds = statistics.median(clock(buffer, sums) for _ in range(_READINGS))
    return buffer.nbytes / seconds


def ensure_bandwidth(table: LatencyTable, *, device: str, num_threads: int) -> None:
    """Put the bandwidth into a table of this device that has none."""
    if table.read_bytes_per_second is not None:
        return
    table.metadata[READ_BYTES_PER_SECOND] = read_bytes_per_second(device, num_threads=num_threads)
    if torch.device(device).type == "cuda":
        # What is measured next shall find the memory free.
        torch.cuda.empty_cache()


def _seconds_on_cpu(buffer: Tensor, sums: Tensor) -> float:
    started = time.perf_counter()
    torch.sum(buffer, dim=1, out=sums)
    return time.perf_counter() - started


def _seconds_on_cuda(buffer: Tensor, sums: Tensor) -> float:
    # torch leaves the constructor unannotated.
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    with torch.cuda.device(buffer.device):
        started.record()
        for _ in range(_CUDA_IN_A_ROW):
            torch.sum(buffer, dim=1, out=sums)
        ended.record()
        ended.synchronize()
    return float(started.elapsed_time(ended)) / 1000 / _CUDA_IN_A_ROW
