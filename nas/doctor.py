"""What this machine and this installation can do. Imports nothing heavy: versions come from the installed metadata."""

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from nas.environment import PACKAGES, installed_version

_OPTIONAL: Final = {
    "fla": ("flash-linear-attention", "gpu"),
    "mamba_ssm": ("mamba-ssm", "gpu"),
    "causal_conv1d": ("causal-conv1d", "gpu"),
    "triton": ("triton", "gpu"),
    "transformers": ("transformers", "eval"),
}


def diagnose() -> dict[str, dict[str, str]]:
    """Return findings by section: machine, packages, devices, optional packages."""
    return {
        "machine": _machine(),
        "packages": {name: found for name in PACKAGES if (found := installed_version(name)) is not None},
        "devices": _devices(),
        "optional": {name: _optional(module=name) for name in _OPTIONAL},
    }


def _machine() -> dict[str, str]:
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "processors": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{pages * page_bytes / 1024**3:.1f} GiB",
        "free disk here": f"{shutil.disk_usage(Path.cwd()).free / 1024**3:.1f} GiB",
    }


def _devices() -> dict[str, str]:
    # Asking torch would take seconds; the driver's device files tell whether there is a GPU to ask about.
    gpus = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    torch_version = installed_version("torch") or ""
    if not gpus:
        gpu = "none: no NVIDIA device on this machine"
    elif "+cpu" in torch_version:
        gpu = f"{', '.join(gpus)}, but torch {torch_version} is a CPU build; install a CUDA build of torch"
    else:
        gpu = ", ".join(gpus)
    return {"cpu": platform.processor() or platform.machine(), "gpu": gpu}


def _optional(*, module: str) -> str:
    package, extra = _OPTIONAL[module]
    if find_spec(module) is None:
        return f"not installed; pip install 'hybridnas[{extra}]'"
    return installed_version(package) or "installed"
