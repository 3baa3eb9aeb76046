"""What only Ray can do: end what does not end by itself, and say what was lost where. On a real cluster.

How it follows nodes that come and go is `tests/integration/test_cluster.py`.
"""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import threading
import time

import pytest

from nas.candidates import Candidate, Evaluated, Proposal
from nas.errors import ResourceError
from nas.executors.ray_capacity import CandidateResources
from nas.executors.ray_cluster import RayExecutor
from nas.executors.ray_connection import _termination_handler_kept, connect, connected, disconnect
from nas.interrupt import Interrupts


def behave(genome, seed):
    match genome[0]:
        case "sleep":
            time.sleep(1000)
        case "deadlock":
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        case "deaf":
            while True:
                with contextlib.suppress(BaseException):
                    time.sleep(1000)
        case "hold the interpreter":
            ctypes.PyDLL(None).sleep(1000)
        case "die":
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            time.sleep(0.5)
            sys.exit(3)
        case "unpicklable":
            return Evaluated(objectives={"error": 0.0}, details={"lock": threading.Lock()})
    return Evaluated(objectives={"error": 0.0}, details={"process": os.getpid()})


def candidate(number, behaviour):
    return Candidate(
        number=number, proposal=Proposal(genome=(behaviour,), origin="random"), fingerprint=behaviour, seed=0
    )


def outcomes(executor, *behaviours):
    for number, behaviour in enumerate(behaviours):
        executor.submit(candidate(number, behaviour))
    found = {}
    give_up = time.monotonic() + 100
    while len(found) < len(behaviours) and time.monotonic() < give_up:
        found.update(executor.wait(timeout_s=5))
    return [found.get(number) for number in range(len(behaviours))]


def wait_for_beginning(executor):
    import ray

    give_up = time.monotonic() + 240
    while executor._tasks[0].place is None:
        assert time.monotonic() < give_up, f"nothing began; free are {ray.available_resources()}"
        for _, outcome in executor.wait(timeout_s=0.1):
            # Ray may give it to a process that a test before has ended by force; the engine tries such a loss again.
            assert outcome.kind == "lost_worker", outcome
            executor.submit(candidate(0, "sleep"))


@pytest.fixture(scope="module")
def local():
    """A cluster of one node with a logical GPU, which starts and ends with this module."""
    # Ray keeps a token under the home directory otherwise, which later commands would have to know.
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "tests-only-" + "0" * 32}
    before = {name: os.environ.get(name) for name in token}
    os.environ |= token
    import ray

    ray.init(num_cpus=4, num_gpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 1024**2)
    yield
    ray.shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def make(local):
    made = []

    def executor(*, num_cpus=1, num_gpus=0, **options):
        resources = CandidateResources(num_cpus=num_cpus, num_gpus=num_gpus, memory_bytes=None)
        one = RayExecutor(behave, address="local", resources=resources, **{"max_parallel": 4, **options})
        made.append(one)
        return one

    yield executor
    for one in made:
        one.shutdown()


def test_an_evaluation_over_its_deadline_is_ended_however_it_hangs(make):
    hangs = ("sleep", "deadlock", "deaf", "hold the interpreter")
    executor = make(deadline_s=1.0)
    for outcome in outcomes(executor, *hangs):
        assert outcome.kind == "timeout"
        assert f"node {socket.gethostname()} (" in outcome.message
        assert outcome.message.endswith("ran longer than its deadline of 1 s (resources.deadline_s).")
    # Their CPUs are free again.
    assert all(isinstance(outcome, Evaluated) for outcome in outcomes(executor, *"abcd"))


def test_a_deadline_counts_from_the_beginning_not_from_the_queue(make):
    executor = make(num_gpus=1, deadline_s=3.0)
    first, second = outcomes(executor, "sleep", "fine")
    assert first.kind == "timeout"
    assert isinstance(second, Evaluated)


def test_a_process_that_dies_is_a_lost_worker_named_with_its_node(make):
    killed, left, fine = outcomes(make(), "die", "exit", "fine")
    assert killed.kind == "lost_worker"
    assert f"on node {socket.gethostname()} (" in killed.message
    assert "process " in killed.message
    assert left.kind == "bug"  # it left by itself: to evaluate it again would bring the same
    assert left.message.startswith("SystemExit: 3")
    assert isinstance(fine, Evaluated)


def test_an_outcome_that_cannot_travel_is_a_bug_of_the_evaluation(make):
    (outcome,) = outcomes(make(), "unpicklable")
    assert outcome.kind == "bug"
    assert "lock" in outcome.message


def test_candidates_that_hold_a_gpu_get_a_process_each_and_others_share_them(make):
    on_gpu = [outcome.details["process"] for outcome in outcomes(make(num_gpus=1), "a", "b", "c")]
    assert len(set(on_gpu)) == 3
    on_cpu = [outcome.details["process"] for outcome in outcomes(make(num_cpus=4), "a", "b", "c")]
    assert len(set(on_cpu)) == 1


def test_running_out_of_host_memory_is_told_from_a_lost_node(make, local):
    from ray import exceptions

    executor = make()
    executor.submit(candidate(0, "sleep"))
    task = executor._tasks[0]
    memory = executor._failure(exceptions.OutOfMemoryError("The node ran low on memory.\nmore"), task)
    assert memory.kind == "host_out_of_memory"
    assert "The node ran low on memory. Reserve what" in memory.message
    assert executor._failure(exceptions.NodeDiedError("gone"), task).kind == "lost_worker"
    assert executor._failure(exceptions.RuntimeEnvSetupError("no such wheel"), task).kind == "bug"


def test_a_task_cancelled_by_someone_else_is_lost_not_an_exception(make):
    import ray

    executor = make()
    executor.submit(candidate(0, "sleep"))
    wait_for_beginning(executor)
    ray.cancel(executor._tasks[0].stream, force=True)
    found = executor.wait(timeout_s=60)
    assert found[0][1].kind == "lost_worker"


def test_a_task_that_does_not_begin_is_submitted_anew_and_ends_once(make, monkeypatch):
    notices = []
    # The GPU is what is held: Ray now and then does not give back the CPU of a task that a test before has cancelled.
    holder = make(num_gpus=1)
    holder.submit(candidate(0, "sleep"))
    wait_for_beginning(holder)
    # Only now: what holds the room takes longer to begin on a busy machine, and would be submitted again and again.
    monkeypatch.setattr("nas.executors.ray_cluster.BEGIN_WITHIN_S", 0.5)
    monkeypatch.setattr("nas.executors.ray_cluster.WAITING_WORDS_AFTER_S", 0.2)
    executor = make(num_gpus=1, notice=notices.append)
    executor.submit(candidate(7, "fine"))
    first = executor._tasks[7].stream
    assert executor.wait(timeout_s=1.5) == []
    assert executor._tasks[7].stream is not first
    assert notices == ["Waiting for a node of the Ray cluster with room for CPU=1, GPU=1."]
    # On a busy machine a process takes longer to begin than this test let it wait.
    monkeypatch.setattr("nas.executors.ray_cluster.BEGIN_WITHIN_S", 600)
    holder.shutdown()
    found = executor.wait(timeout_s=120)
    assert [number for number, _ in found] == [7]
    assert executor.wait(timeout_s=0.5) == []


def test_a_cluster_without_room_for_one_candidate_is_refused_at_its_start_unless_it_grows(make):
    with pytest.raises(ResourceError, match=r"for CPU=100; the largest node has CPU=4\. .*resources\.autoscaling"):
        make(num_cpus=100)
    assert make(num_cpus=100, autoscaling=True, max_parallel=3).capacity == 1
    assert make(num_cpus=1, autoscaling=True, max_parallel=9).capacity == 5
    with pytest.raises(ValueError, match="max_parallel"):
        make(autoscaling=True, max_parallel=None)


def test_shutting_down_ends_what_runs_and_raises_nothing_a_second_time(make):
    executor = make(num_gpus=1)
    executor.submit(candidate(0, "sleep"))
    wait_for_beginning(executor)
    executor.shutdown()
    executor.shutdown()
    assert executor.wait(timeout_s=1) == []
    assert isinstance(outcomes(make(num_gpus=1), "fine")[0], Evaluated)


def test_a_connection_is_shared_and_ended_by_who_made_it(local):
    import ray

    assert not connect("local")
    with connected("local"):
        pass
    assert ray.is_initialized()


def test_leaving_a_cluster_that_is_gone_raises_nothing(monkeypatch):
    import ray

    def fail():
        raise OSError("The cluster is gone.")

    monkeypatch.setattr(ray, "shutdown", fail)
    disconnect()


def terminated_inside():
    with _termination_handler_kept():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))
        signal.raise_signal(signal.SIGTERM)


def test_a_termination_while_ray_has_its_own_handler_comes_to_ours():
    with Interrupts().handled():
        ours = signal.getsignal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            terminated_inside()
        assert signal.getsignal(signal.SIGTERM) == ours
