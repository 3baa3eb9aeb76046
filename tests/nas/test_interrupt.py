import os
import signal
import subprocess
import sys
import time

import pytest

from nas.interrupt import Interrupts


def test_an_interrupt_while_writing_waits_until_the_write_is_done():
    interrupts = Interrupts()
    written = []

    def write_two():
        for name in ("whole", "next"):
            with interrupts.deferred():
                os.kill(os.getpid(), signal.SIGINT)
                written.append(name)

    with interrupts.handled(), pytest.raises(KeyboardInterrupt):
        write_two()
    assert written == ["whole"]


class Finalised:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)  # where Python hands the signal over


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_in_a_finaliser_comes_before_the_next_write():
    interrupts = Interrupts()
    with interrupts.handled():
        held = Finalised()
        del held
        assert interrupts.were_received
        with pytest.raises(KeyboardInterrupt), interrupts.deferred():
            pytest.fail("something was written")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_between_writes_comes_at_once(number):
    with Interrupts().handled(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_the_handlers_before_come_back():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts().handled():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_the_second_interrupt_ends_at_once_with_130():
    code = """
import os, signal
from nas.interrupt import Interrupts
interrupts = Interrupts()
with interrupts.handled(), interrupts.deferred():
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
print("still here")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (130, "")
