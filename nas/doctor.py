"""What this machine and this installation can do. Imports nothing heavy: versions come from the installed metadata."""

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from nas.environment import PACKAGES, installed_version
from operators.backends import BACKENDS, Backend

_OPTIONAL: Final = {
    "causal_conv1d": ("causal-conv1d", "gpu"),
    "transformers": ("transformers", "eval"),
}


def diagnose() -> dict[str, dict[str, str]]:
    """Return findings by section: machine, packages, devices, operator backends, optional packages."""
    has_gpu, gpu = _gpu()
    return {
        "machine": _machine(),
        "packages": {name: found for name in PACKAGES if (found := installed_version(name)) is not None},
        "devices": {"cpu": platform.processor() or platform.machine(), "gpu": gpu},
        "backends": {name: _backend(backend, has_gpu=has_gpu) for name, backend in BACKENDS.items()},
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


def _gpu() -> tuple[bool, str]:
    """Return whether torch can use a GPU, and what was found, in words."""
    # Asking torch would take seconds; the driver's device files tell whether there is a GPU to ask about.
    gpus = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    torch_version = installed_version("torch") or ""
    if not gpus:
        return False, "none: no NVIDIA device on this machine"
    if "+cpu" in torch_version:
        return False, f"{', '.join(gpus)}, but torch {torch_version} is a CPU build; install a CUDA build of torch"
    return True, ", ".join(gpus)


def _backend(backend: Backend, *, has_gpu: bool) -> str:
    if (missing := backend.missing_package()) is not None:
        return f"unavailable: {missing}"
    if backend.devices is not None and not has_gpu:
        return f"unavailable: it runs on {' or '.join(sorted(backend.devices))} only. {backend.description}"
    return f"available. {backend.description}"


def _optional(*, module: str) -> str:
    package, extra = _OPTIONAL[module]
    if find_spec(module) is None:
        return f"not installed; pip install 'hybridnas[{extra}]'"
    return installed_version(package) or "installed"
