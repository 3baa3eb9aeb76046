"""Memory of one evaluation: its peak, and how it shows that there was too little.

The peak on a GPU is what torch's allocator held at most since the start. On a CPU it is the resident size of the *whole
process* at its highest since the start: Python, torch and the corpus are in it, some 300 MB before any model, and so is
whatever else the process does meanwhile. The usual high-water mark (`ru_maxrss`) would carry the largest candidate of a
worker into every later one; Linux lets a process reset its mark, and where it does not, there is no figure.
"""

import gc
from pathlib import Path
from typing import Final

import torch
from torch.distributed import DistBackendError

_RESET_PEAK: Final = "5"
"""What /proc/self/clear_refs takes to lower the resident high-water mark to the current size."""


class PeakMemory:
    """Starts counting when made."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_known = True
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
        except OSError:
            self._is_known = False

    def read_bytes(self) -> int | None:
        """Return the peak since the start, or none where the platform cannot tell."""
        if not self._is_known:
            return None
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None


def free_bytes(device: torch.device) -> int | None:
    """Return what an evaluation may still take on a GPU, torch's own cache included; none on a CPU.

    A CPU's memory is shared with everything else, and what of it is free tells little.
    """
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that there was too little memory; the CPU allocator has no class of its own for that."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, DistBackendError) and "out of memory" in str(error):
        # NCCL allocates its own buffers.
        return True
    return "DefaultCPUAllocator" in str(error) and "memory" in str(error)


def release_memory(device: torch.device) -> None:
    """Give cached blocks back, so that the next evaluation starts with all there is."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
