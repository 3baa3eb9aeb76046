"""The revision of our Triton kernels, kept with every latency measured with them."""

from typing import Final

KERNEL_REVISION: Final = "1"
"""Raise it with every change that may alter how long a kernel takes: rows measured with another count as unmeasured."""


def revision_of(backend: str) -> str:
    """Return the revision that times of a backend depend on; empty where no kernel of ours runs."""
    return KERNEL_REVISION if "triton" in backend else ""
