"""Times of a latency table belong to the kernels that were timed."""

import hashlib
from pathlib import Path

import operators
from operators.kernel_revision import KERNEL_REVISION, revision_of

KERNELS_OF_REVISION = {"1": "7329530b32fd7a32"}


def test_kernels_changed_only_with_their_revision() -> None:
    folder = Path(operators.__file__).parent
    files = sorted([*folder.rglob("*kernels.py"), *folder.glob("step_*.py")])
    assert len(files) >= 6
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    assert KERNELS_OF_REVISION[KERNEL_REVISION] == digest, (
        "A kernel changed. If that may alter its speed, raise KERNEL_REVISION in operators/kernel_revision.py, "
        f"so that tables measured before are not taken for current ones; then write {digest} here."
    )


def test_only_our_kernels_have_a_revision() -> None:
    assert revision_of("triton") == revision_of("triton+reference without graph") == KERNEL_REVISION
    assert revision_of("sdpa+chunked") == revision_of("fla") == ""
