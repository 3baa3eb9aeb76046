"""One contract for every executor, on real ones: in this process, and on a real local Ray cluster."""

import os
import time
from dataclasses import replace

import pytest

from nas.candidates import Candidate, Evaluated, Failed, Proposal, Stopped
from nas.errors import ResourceError
from nas.executors.inprocess import InProcessExecutor
from nas.executors.ray_capacity import CandidateResources
from nas.executors.ray_cluster import RayExecutor
from nas.executors.ray_connection import check_address
from nas.executors.threads import ThreadsExecutor
from proxies.rungs import Rungs


def resources(**changes):
    return CandidateResources(**{"num_cpus": 1, "num_gpus": 0, "memory_bytes": None, **changes})


def behave(genome, seed, rungs=None):
    if rungs is not None:
        return Stopped(details={"rungs": rungs.to_dict()})
    match genome[0]:
        case 0:
            return Evaluated(objectives={"error": float(seed)}, details={"process": os.getpid()})
        case 1:
            return Failed("diverged", "as told")
        case 2:
            raise ValueError("no such kernel")
        case 3:
            raise MemoryError
        case 4:
            os.kill(os.getpid(), 9)
        case _:
            return "not an outcome"


def candidate(number, digit, *, seed=7):
    return Candidate(
        number=number, proposal=Proposal(genome=(digit,), origin="random"), fingerprint=str(digit), seed=seed
    )


def outcomes(executor, candidates):
    for one in candidates:
        executor.submit(one)
    found = {}
    deadline = time.monotonic() + 90
    while len(found) < len(candidates) and time.monotonic() < deadline:
        found.update(executor.wait(timeout_s=5))
    return found


@pytest.fixture(scope="module")
def ray_token():
    # Ray keeps a token under the home directory otherwise, which later commands would have to know.
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "tests-only-" + "0" * 32}
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture(scope="module")
def ray_executor(ray_token):
    executor = RayExecutor(behave, address="local", resources=resources(), max_parallel=2)
    yield executor
    executor.shutdown()


@pytest.fixture(params=["inprocess", "threads", "ray"])
def executor(request):
    match request.param:
        case "inprocess":
            yield InProcessExecutor(behave)
        case "threads":
            threads = ThreadsExecutor(behave, num_threads=2)
            yield threads
            threads.shutdown()
        case _:
            yield request.getfixturevalue("ray_executor")


def test_an_outcome_comes_back_under_its_number_and_seed(executor):
    found = outcomes(executor, [candidate(5, 0, seed=3), candidate(6, 0, seed=4), candidate(9, 1)])
    assert found[5].objectives == {"error": 3.0}
    assert found[6].objectives == {"error": 4.0}
    assert found[9] == Failed("diverged", "as told")


def test_what_may_be_stopped_early_brings_its_rungs_and_may_be_stopped(executor):
    rungs = Rungs(shares=(0.1, 0.5), limits=(3.0, None))
    assert outcomes(executor, [replace(candidate(0, 0), rungs=rungs)])[0] == Stopped(details={"rungs": rungs.to_dict()})


def test_an_exception_is_a_bug_with_its_last_lines(executor):
    failed = outcomes(executor, [candidate(0, 2)])[0]
    assert failed.kind == "bug"
    assert failed.message.startswith("ValueError: no such kernel")
    assert "in behave" in failed.message


def test_a_memory_error_is_a_lack_of_host_memory(executor):
    assert outcomes(executor, [candidate(0, 3)])[0].kind == "host_out_of_memory"


def test_what_is_no_outcome_is_a_bug(executor):
    assert outcomes(executor, [candidate(0, 5)])[0] == Failed(
        "bug", "The evaluation returned str, not Evaluated or Failed."
    )


def test_waiting_for_nothing_returns_nothing(executor):
    assert executor.wait(timeout_s=0.1) == []


def test_ray_evaluates_in_another_process(ray_executor):
    assert outcomes(ray_executor, [candidate(0, 0)])[0].details["process"] != os.getpid()


def test_a_worker_that_dies_is_a_lost_worker_and_the_next_candidate_runs(ray_executor):
    found = outcomes(ray_executor, [candidate(0, 4), candidate(1, 0)])
    assert found[0].kind == "lost_worker"
    assert isinstance(found[1], Evaluated)


def test_resources_no_node_has_are_refused_at_once(ray_executor):
    with pytest.raises(ResourceError, match="asked for CPU=100000; the largest node has CPU="):
        RayExecutor(behave, address="local", resources=resources(num_cpus=100_000), max_parallel=None)


def test_capacity_is_what_the_cluster_holds_or_less_if_asked(ray_executor):
    assert ray_executor.capacity <= 2


def test_an_address_that_does_not_answer_says_so():
    with pytest.raises(ResourceError, match=r"127\.0\.0\.1:1 does not answer"):
        check_address("127.0.0.1:1")
    with pytest.raises(ResourceError, match="local, auto or HOST:PORT; got 'cluster'"):
        check_address("cluster")
