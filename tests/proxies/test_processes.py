import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from proxies.errors import LostProcessError, PeerLostError, SettingsError
from proxies.processes import run_together

Send = Callable[[Any], None]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_for_ever() -> NoReturn:
    while True:
        time.sleep(1000)


def run(work: Callable[[int, Send], Any], *, on_message: Callable[[int, Any], None] = lambda *_: None) -> Any:
    """Run two processes, and see that neither is left."""
    before = set(psutil.Process().children(recursive=True))
    try:
        return run_together(work, count=2, on_message=on_message, decides=lambda result: result == "decided")
    finally:
        assert set(psutil.Process().children(recursive=True)) <= before


def look_at(rank: int, send: Send, *, array: NDArray[np.int64]) -> tuple[int, int, bool, bytes]:
    send(f"hello from {rank}")
    mapped = next(line for line in open("/proc/self/maps", "rb") if _start(line) <= array.ctypes.data < _end(line))  # noqa: SIM115, PTH123  a file of the kernel, read once
    return rank, int(array.sum()), array.flags.writeable, b" ".join(mapped.split()[3:5])


def _start(line: bytes) -> int:
    return int(line.split()[0].split(b"-")[0], 16)


def _end(line: bytes) -> int:
    return int(line.split()[0].split(b"-")[1], 16)


def test_results_come_in_order_and_arrays_are_one_file_for_all() -> None:
    heard = []
    found = run(partial(look_at, array=np.arange(100_000)), on_message=lambda *message: heard.append(message))
    assert sorted(heard) == [(0, "hello from 0"), (1, "hello from 1")]
    (_, _, _, file), _ = found
    assert found == ((0, 4999950000, False, file), (1, 4999950000, False, file))
    assert file != b"00:00 0"


def only_the_second(rank: int, send: Send, *, then: str) -> object:
    if rank == 0:
        wait_for_ever()
    match then:
        case "raise":
            raise SettingsError("seven is too many")
        case "raise what cannot travel":
            raise _HoldsAFunctionError(lambda: None)
        case "exit":
            os._exit(3)
        case "be killed":
            os.kill(os.getpid(), signal.SIGKILL)
    return then


class _HoldsAFunctionError(Exception):
    def __str__(self) -> str:
        return "no other process can have it"


@pytest.mark.parametrize(
    ("then", "error", "words"),
    [
        ("raise", SettingsError, "^seven is too many"),
        ("raise what cannot travel", RuntimeError, "^_HoldsAFunctionError: no other process can have it"),
        ("exit", LostProcessError, "process 1 exited with 3"),
        ("be killed", LostProcessError, "All 2 processes .* process 1 was ended by SIGKILL, as the kernel does"),
    ],
)
def test_the_end_of_one_is_the_end_of_all(then: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        run(partial(only_the_second, then=then))
    if error is not LostProcessError:
        assert "Raised in process 1:" in caught.value.__notes__[0]
        assert "only_the_second" in caught.value.__notes__[0]


def test_a_result_that_decides_ends_the_others() -> None:
    assert run(partial(only_the_second, then="decided")) == ("decided",)


def lose_the_peer(rank: int, send: Send, *, has_cause: bool) -> None:
    if rank == 0 or not has_cause:
        raise PeerLostError("connection closed")
    time.sleep(0.5)
    raise SettingsError("the cause")


def test_the_cause_is_raised_and_not_that_the_others_noticed() -> None:
    with pytest.raises(SettingsError, match="the cause"):
        run(partial(lose_the_peer, has_cause=True))
    with pytest.raises(PeerLostError, match="connection closed"):
        run(partial(lose_the_peer, has_cause=False))


def say_who(rank: int, send: Send) -> NoReturn:
    """Start another process, as compilers are started, and wait for ever."""
    other = subprocess.Popen(["sleep", "1000"])
    send((os.getpid(), other.pid))
    wait_for_ever()


def test_what_is_raised_on_a_message_ends_all() -> None:
    pids: list[int] = []

    def stop(rank: int, message: tuple[int, int]) -> None:
        pids.extend(message)
        if len(pids) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(say_who, on_message=stop)
    assert len(pids) == 4
    wait_for(lambda: not any(map(is_alive, pids)))


def test_an_exception_from_another_thread_ends_all() -> None:
    pids: list[int] = []
    ended = []

    def evaluate() -> None:
        try:
            run_together(say_who, count=2, on_message=lambda _, message: pids.extend(message), decides=lambda _: False)
        except KeyboardInterrupt:
            ended.append(True)

    thread = threading.Thread(target=evaluate)
    thread.start()
    wait_for(lambda: len(pids) == 4)
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt))
    thread.join(60)
    assert ended
    wait_for(lambda: not any(map(is_alive, pids)))


def test_none_outlives_a_parent_that_is_killed() -> None:
    code = (
        "from proxies.processes import run_together; from tests.proxies.test_processes import say_who; "
        "run_together(say_who, count=2, on_message=lambda _, pids: print(*pids, flush=True), decides=bool)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for _ in range(2) for pid in parent.stdout.readline().split()]
        assert len(pids) == 4
        assert all(map(is_alive, pids))
        parent.kill()
    wait_for(lambda: not any(map(is_alive, pids)))
