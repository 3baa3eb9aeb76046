"""What needs a GPU, where there is none: kernels of Triton run in its interpreter, tests marked `gpu` are skipped."""

import os
from pathlib import Path

import pytest

HAS_GPU = any(Path("/dev").glob("nvidia[0-9]*"))

if not HAS_GPU:
    # Read once, when triton is imported; nothing has imported it yet.
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HAS_GPU:
        for item in items:
            if item.get_closest_marker("gpu") is not None:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
