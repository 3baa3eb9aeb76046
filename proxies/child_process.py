"""What runs in each of several processes that work together: read the work, do it, tell the parent, wait for the end.

The parent's side is `processes.py`. Needs no torch; what the work needs is imported when it is read.
"""

import contextlib
import mmap
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Final, Literal

ALIGNMENT: Final = 64
"""Bytes; where the parts of the work's file begin."""

Kind = Literal["message", "result", "error"]


def serve(*, connection_fd: int, work_fd: int, lengths: Sequence[int], rank: int) -> None:
    """Do the work of one rank. Never returns: the parent ends the process, or its death does."""
    connection: Connection[tuple[Kind, Any], None] = Connection(connection_fd)
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    try:
        work: Callable[[int, Callable[[Any], None]], Any] = read_work(work_fd, lengths=lengths)
        kind: Kind = "result"
        content: Any = work(rank, lambda message: connection.send(("message", message)))
    except Exception as error:
        kind, content = "error", portable(error, rank=rank)
    connection.send((kind, content))
    # Peers may still be reading from this process what the last exchange left in its buffers.
    threading.Event().wait()


def read_work(fd: int, *, lengths: Sequence[int]) -> Any:
    """Read what `processes.py` wrote: a pickle and its large buffers, which stay in the file and are shared."""
    content = memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
    parts = []
    start = 0
    for length in lengths:
        parts.append(content[start : start + length])
        start += padded(length)
    return pickle.loads(parts[0], buffers=parts[1:])


def padded(length: int) -> int:
    """Return the bytes a part of that length takes in the file."""
    return -(-length // ALIGNMENT) * ALIGNMENT


def _end_with_parent(connection: "Connection[tuple[Kind, Any], None]") -> None:
    """Wait until the parent's end of the connection closes, as it does however the parent ends; then end at once."""
    with contextlib.suppress(EOFError, OSError):
        connection.recv()
    # The processes that this one started (compilers) are of its group; the parent made it one of its own.
    os.killpg(0, signal.SIGKILL)


def portable(error: Exception, *, rank: int) -> Exception:
    """Return an error that travels, with where it was raised as a note."""
    trace = "".join(traceback.format_exception(error))
    error.add_note(f"Raised in process {rank}:\n{trace}")
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        # An exception may hold what no other process can have; its words always travel.
        copy = RuntimeError(f"{type(error).__name__}: {error}")
        copy.add_note(f"Raised in process {rank}:\n{trace}")
    return copy
