"""Read the fingerprint of the device at hand.

Imports torch only when called; comparing fingerprints needs none of this.
"""

import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from latency.device import DeviceFingerprint
from search_spaces.errors import UnavailableError

KERNEL_LIBRARIES = ("flash-linear-attention", "mamba-ssm", "causal-conv1d", "flash-attn")


def current_fingerprint(device: str, *, num_threads: int) -> DeviceFingerprint:
    """Return the fingerprint of `cpu`, `cuda` or `cuda:N` as it is now.

    Raises:
        UnavailableError: a CUDA device is asked for and this machine or this torch has none, or another kind of device.
    """
    import torch

    try:
        target = torch.device(device)
    except RuntimeError:
        raise UnavailableError(f"The device must be cpu or cuda; got {device!r}.") from None
    if target.type not in ("cpu", "cuda"):
        raise UnavailableError(f"The device must be cpu or cuda; got {device!r}.")
    bare = _cpu(num_threads) if target.type == "cpu" else _gpu(target.index or 0, num_threads)
    return replace(
        bare,
        torch=torch.__version__,
        triton=_version("triton"),
        backends={name: found for name in KERNEL_LIBRARIES if (found := _version(name))},
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _cpu(num_threads: int) -> DeviceFingerprint:
    return DeviceFingerprint(
        device_name=_cpuinfo("model name") or platform.processor() or platform.machine(),
        kind="cpu",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        num_threads=num_threads,
        clocks=_cpu_clocks(),
    )


def _gpu(index: int, num_threads: int) -> DeviceFingerprint:
    import torch

    if not torch.cuda.is_available():
        raise UnavailableError("Device 'cuda' needs a CUDA GPU and a CUDA build of torch; found none. Use cpu.")
    if index >= torch.cuda.device_count():
        raise UnavailableError(
            f"Device 'cuda:{index}' does not exist; this machine has {torch.cuda.device_count()} GPU(s)."
        )
    if index != torch.cuda.current_device():
        # Graphs and Triton's launches go to the current device.
        raise UnavailableError(
            f"Latency is measured on the process's own GPU, 'cuda'; got 'cuda:{index}'. "
            f"Set CUDA_VISIBLE_DEVICES={index} and ask for cuda."
        )
    properties = torch.cuda.get_device_properties(index)
    driver, clocks = _gpu_driver_and_clocks(str(properties.uuid))
    return DeviceFingerprint(
        device_name=properties.name,
        kind="cuda",
        memory_bytes=properties.total_memory,
        num_threads=num_threads,
        driver=driver,
        clocks=clocks,
    )


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpuinfo(field: str) -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == field:
                return value.strip()
    return ""


def _cpu_clocks() -> dict[str, str]:
    found = _cpuinfo("cpu MHz")
    return {"cpu": f"{float(found):.0f} MHz"} if found else {}


def _gpu_driver_and_clocks(uuid: str) -> tuple[str, dict[str, str]]:
    # Recorded as found: a machine without nvidia-smi gives an empty record, never a failed profile.
    command = shutil.which("nvidia-smi")
    if command is None:
        return "", {}
    query = "--query-gpu=uuid,driver_version,clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu"
    answer = subprocess.run([command, query, "--format=csv,noheader"], capture_output=True, text=True, check=False)
    for line in answer.stdout.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 6 and uuid in fields[0]:
            clocks = {"sm": fields[2], "memory": fields[3], "sm maximum": fields[4]}
            return fields[1], clocks | {"temperature": f"{fields[5]} °C"}
    return "", {}
