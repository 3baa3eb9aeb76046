"""What a run was made with: versions, machine, command. A record; nothing is decided by it."""

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

PACKAGES: Final = (
    "hybridnas",
    "torch",
    "triton",
    "flash-linear-attention",
    "mamba-ssm",
    "causal-conv1d",
    "ray",
    "optuna",
    "numpy",
    "pandas",
    "plotly",
    "dash",
    "pydantic",
)


def installed_version(package: str) -> str | None:
    """Return the version of an installed distribution, or none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def describe_environment() -> dict[str, Any]:
    """Return versions, machine and command line, JSON-ready."""
    import psutil

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "packages": {name: found for name in PACKAGES if (found := installed_version(name)) is not None},
    }
