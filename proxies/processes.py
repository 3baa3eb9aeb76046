"""Several processes of this machine that work on one thing and live and die together.

Whatever ends the work (a result, an error or the death of one process, an exception here, the death of this process)
ends all of them. They start afresh, with nothing of this process but its environment and module path. Knows neither
torch nor what the work is; the children's side is `child_process.py`.
"""

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import IO, Any, Final, TypeVar

from proxies.child_process import Kind, padded
from proxies.errors import LostProcessError, PeerLostError

T = TypeVar("T")

Work = Callable[[int, Callable[[Any], None]], T]
"""Called in each process with its rank and a function that sends a message to the parent; picklable, as is T."""

_LOOK_EVERY_S: Final = 0.2
"""An exception that another thread raises here is noticed between two looks."""

_CAUSE_WITHIN_S: Final = 5.0
"""How long after a process lost a peer the peer's own end may take to show."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Process:
    rank: int
    popen: subprocess.Popen[bytes]
    connection: "Connection[None, tuple[Kind, Any]]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _WorkFile:
    """The pickled work in a file without a name, which all processes map and which vanishes with the last of them."""

    file: IO[bytes]
    lengths: tuple[int, ...]


def run_together(
    work: Work[T],
    *,
    count: int,
    on_message: Callable[[int, Any], None],
    decides: Callable[[T], bool],
    environment: Mapping[str, str] | None = None,
) -> tuple[T, ...]:
    """Do the work in `count` new processes; when this returns or raises, none of them is left.

    Args:
        work: is pickled once; arrays in it are shared by all processes and read-only there.
        count: processes.
        on_message: is told rank and content of what they send; what it raises ends the work.
        decides: whether the result of one process is that of all, so that the others need not go on.
        environment: variables the processes have besides those of this one.

    Returns:
        The results in order of rank, or only the one that decides.

    Raises:
        LostProcessError: a process ended without a result.
        Exception: what the work raised in one of them, with the place as a note.
    """
    with ExitStack() as stack:
        content = stack.enter_context(_written(work))
        variables = {**os.environ, **(environment or {}), "PYTHONPATH": _module_path()}
        processes = [
            stack.enter_context(_started(rank, content=content, environment=variables)) for rank in range(count)
        ]
        return _results(processes, on_message=on_message, decides=decides)


def _results(
    processes: list[_Process], *, on_message: Callable[[int, Any], None], decides: Callable[[T], bool]
) -> tuple[T, ...]:
    waiting = {process.connection: process for process in processes}
    results: dict[int, T] = {}
    bereaved: PeerLostError | None = None
    until = float("inf")
    while waiting:
        for connection in wait(list(waiting), timeout=_LOOK_EVERY_S):
            process = waiting[connection]  # type: ignore[index]  # wait() returns what it was given
            try:
                kind, content = process.connection.recv()
            except (EOFError, OSError):
                raise _lost(process, count=len(processes)) from bereaved
            if kind == "message":
                on_message(process.rank, content)
                continue
            del waiting[process.connection]
            if kind == "result":
                results[process.rank] = content
                if decides(content):
                    return (content,)
            elif not isinstance(content, PeerLostError):
                raise content
            elif bereaved is None:
                # Not the cause: another one ended first, and what it has to say may still be on its way.
                bereaved, until = content, time.monotonic() + _CAUSE_WITHIN_S
        if bereaved is not None and time.monotonic() > until:
            break
    if bereaved is not None:
        raise bereaved
    return tuple(results[rank] for rank in sorted(results))


def _lost(process: _Process, *, count: int) -> LostProcessError:
    try:
        code = process.popen.wait(_CAUSE_WITHIN_S)
    except subprocess.TimeoutExpired:
        how = "hung up"
    else:
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        if code == -signal.SIGKILL:
            how += ", as the kernel does where memory of the host runs out"
    return LostProcessError(
        f"All {count} processes must live until the work is done; process {process.rank} {how}. "
        "Look at the host's memory and at what the process wrote to stderr."
    )


@contextmanager
def _written(work: object) -> Iterator[_WorkFile]:
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(work, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
    with tempfile.TemporaryFile() as file:
        for part in parts:
            file.write(part)
            file.write(bytes(padded(part.nbytes) - part.nbytes))
        file.flush()
        yield _WorkFile(file=file, lengths=tuple(part.nbytes for part in parts))


@contextmanager
def _started(rank: int, *, content: _WorkFile, environment: Mapping[str, str]) -> Iterator[_Process]:
    ours, theirs = socket.socketpair()
    # A process ends by itself when `ours` closes. No other process has it: descriptors are not inherited.
    connection: Connection[None, tuple[Kind, Any]] = Connection(ours.detach())
    with connection:
        with theirs:
            code = (
                "from proxies.child_process import serve; "
                f"serve(connection_fd={theirs.fileno()}, work_fd={content.file.fileno()}, "
                f"lengths={content.lengths}, rank={rank})"
            )
            popen = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what libraries print is no data of ours
                pass_fds=(theirs.fileno(), content.file.fileno()),
                env=environment,
                start_new_session=True,
            )
        try:
            yield _Process(rank=rank, popen=popen, connection=connection)
        finally:
            # Ended before it is waited for, so that its number is still its own.
            with suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()


def _module_path() -> str:
    return os.pathsep.join(os.path.realpath(path) for path in sys.path)
