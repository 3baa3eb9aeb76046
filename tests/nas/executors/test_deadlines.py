"""Evaluations in this process that run longer than they may."""

import threading
import time

import pytest

from nas.candidates import Candidate, Evaluated, Proposal
from nas.executors.inprocess import InProcessExecutor
from nas.executors.threads import ThreadsExecutor


def candidate(number, genome):
    return Candidate(number=number, proposal=Proposal(genome=genome, origin="random"), fingerprint=str(genome), seed=0)


def spin(genome, seed):
    while genome == "spins":
        try:
            time.sleep(0.01)
        except Exception:
            continue
    return Evaluated(objectives={"error": 1.0})


RELEASE = threading.Event()


def block(genome, seed):
    if genome == "blocks":
        RELEASE.wait()
    return Evaluated(objectives={"error": 1.0})


def drain(executor, *, until):
    found = {}
    while len(found) < until:
        found.update(executor.wait(timeout_s=0.5))
    return found


@pytest.fixture(params=["inprocess", "threads"])
def make(request):
    made = []

    def make(evaluate):
        if request.param == "inprocess":
            made.append(InProcessExecutor(evaluate, deadline_s=0.3))
        else:
            made.append(ThreadsExecutor(evaluate, num_threads=2, deadline_s=0.3))
        return made[-1]

    yield make
    RELEASE.set()
    for executor in made:
        executor.shutdown()
    RELEASE.clear()


def test_what_never_returns_is_a_timeout_and_the_others_go_on(make):
    before = set(threading.enumerate())
    executor = make(spin)
    for number, genome in enumerate(["spins", "quick", "quick"]):
        executor.submit(candidate(number, genome))
    found = drain(executor, until=3)
    assert found[0].kind == "timeout"
    assert found[0].message == "The evaluation ran longer than its deadline of 0.3 s and was ended."
    assert isinstance(found[1], Evaluated)
    assert isinstance(found[2], Evaluated)
    assert not set(threading.enumerate()) - before


def test_what_cannot_be_ended_is_left_behind_and_says_so(make):
    executor = make(block)
    executor.submit(candidate(0, "blocks"))
    executor.submit(candidate(1, "quick"))
    found = drain(executor, until=2)
    assert "goes on in the background" in found[0].message
    assert isinstance(found[1], Evaluated)


def test_the_late_result_of_an_attempt_is_not_taken_for_that_of_the_next():
    release = threading.Event()
    begun = []

    def late(genome, seed):
        begun.append(genome)
        if len(begun) == 1:
            release.wait()  # held in C: it ends only after the second attempt has begun
            return Evaluated(objectives={"error": 1.0})
        release.set()
        time.sleep(0.1)
        return Evaluated(objectives={"error": 2.0})

    executor = ThreadsExecutor(late, num_threads=1, deadline_s=0.3)
    executor.submit(candidate(0, "same"))
    assert drain(executor, until=1)[0].kind == "timeout"
    executor.submit(candidate(0, "same"))
    assert drain(executor, until=1)[0] == Evaluated(objectives={"error": 2.0})
    executor.shutdown()


def test_shutting_down_ends_what_runs():
    before = set(threading.enumerate())
    executor = ThreadsExecutor(spin, num_threads=2)
    executor.submit(candidate(0, "spins"))
    assert set(threading.enumerate()) - before
    executor.shutdown()
    assert not set(threading.enumerate()) - before
