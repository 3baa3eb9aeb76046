"""Real Ray clusters of several nodes on this machine: nodes come and are killed, drivers too, and nothing is lost."""

import json
import os
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from nas import Failed, optimize
from nas.candidates import Candidate, Proposal
from nas.executors.ray_capacity import CandidateResources
from nas.executors.ray_cluster import RayExecutor
from nas.study import Study
from tests.integration.conftest import RAY_TOKEN, free_port
from tests.integration.test_interruption import objectives, results_written, wait_for_results
from tests.nas.conftest import LetterSpace

pytestmark = pytest.mark.slow

STORE = {"object_store_memory": 100 * 1024**2}


@pytest.fixture(scope="module")
def cluster():
    """A head that holds no candidate; the tests add the nodes that do."""
    before = {name: os.environ.get(name) for name in RAY_TOKEN}
    os.environ |= RAY_TOKEN
    import ray
    from ray.cluster_utils import Cluster

    # So that a death is known in seconds, not in half a minute.
    health = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head = {"num_cpus": 0, "num_gpus": 0, "include_dashboard": False, "_system_config": health, **STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture
def add_node(cluster):
    """Adds nodes, which are gone after the test."""
    added = []

    def add(**options):
        added.append(cluster.add_node(**options, **STORE))
        return added[-1]

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


def executor(evaluate, **options):
    resources = CandidateResources(num_cpus=1, num_gpus=0, memory_bytes=None)
    return RayExecutor(evaluate, **{"address": "auto", "resources": resources, "max_parallel": None, **options})


def wait_until(holds, *, timeout_s=100):
    give_up = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.1)


class HeldUntilKilled:
    """Says in a file where each candidate begins. None ends until the file `killed` is there, nor on the node it names.

    A process outlives its node's death by a moment, in which it could still hand its outcome over.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, genome):
        import ray

        here, killed = ray.get_runtime_context().get_node_id(), self.folder / "killed"
        with (self.folder / "begun").open("a") as file:
            file.write(f"{''.join(map(str, genome))} {here}\n")
        wait_until(lambda: killed.exists() and killed.read_text() != here)
        return {"error": 1.0 + sum(genome)}

    def begun(self):
        path = self.folder / "begun"
        return [tuple(line.split()) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_node_killed_in_the_middle_of_a_search_costs_no_candidate(cluster, add_node, tmp_path):
    nodes = [add_node(num_cpus=1) for _ in range(3)]
    evaluate = HeldUntilKilled(tmp_path)
    capacities = []

    def kill_one():
        wait_until(lambda: len(evaluate.begun()) == 3)
        cluster.remove_node(nodes[0], allow_graceful=False)
        (tmp_path / "written").write_text(nodes[0].node_id)
        (tmp_path / "written").rename(tmp_path / "killed")

    class Watched(RayExecutor):
        def wait(self, *, timeout_s):
            capacities.append(self.capacity)
            return super().wait(timeout_s=timeout_s)

    def watched(evaluation):
        resources = CandidateResources(num_cpus=1, num_gpus=0, memory_bytes=None)
        return Watched(evaluation, address="auto", resources=resources, max_parallel=None)

    killing = threading.Thread(target=kill_one)
    killing.start()
    # A study that knows its objectives, so that the search is as wide as the cluster from its first candidate on.
    space = LetterSpace()
    study = Study(space=space, objectives=("error",))
    history = optimize(space, evaluate, strategy="random", num_evaluations=12, seed=1, executor=watched, study=study)
    killing.join()
    assert [record.status for record in history] == ["finished"] * 12
    assert sorted(record.number for record in history) == list(range(12))
    (tried_again,) = [record for record in history if record.attempts]
    assert [attempt.kind for attempt in tried_again.attempts] == ["lost_worker"]
    assert f"on node {socket.gethostname()} (" in tried_again.attempts[0].message
    begun = evaluate.begun()
    evaluated = ["".join(map(str, record.genome)) for record in [*history, tried_again]]
    assert Counter(genome for genome, _ in begun) == Counter(evaluated)
    assert (evaluated[-1], nodes[0].node_id) in begun
    assert capacities[0] == 3


def test_a_cluster_whose_nodes_all_died_is_waited_for_in_words(cluster, add_node, monkeypatch):
    monkeypatch.setattr("nas.executors.ray_cluster.WAITING_WORDS_AFTER_S", 1.0)
    notices = []
    node = add_node(num_cpus=2)
    running = executor(lambda genome, seed: Failed("diverged", "at once"), notice=notices.append)
    wait_until(lambda: running.capacity == 2)
    cluster.remove_node(node, allow_graceful=False)
    wait_until(lambda: running.capacity == 1)
    running.submit(candidate(4))
    wait_until(lambda: running.wait(timeout_s=0.2) == [] and notices)
    assert notices == ["Waiting for a node of the Ray cluster with room for CPU=1."]
    add_node(num_cpus=2)
    assert running.wait(timeout_s=60) == [(4, Failed("diverged", "at once"))]
    wait_until(lambda: running.capacity == 2)
    running.shutdown()


def candidate(number):
    proposal = Proposal(genome=number, origin="random")
    return Candidate(number=number, proposal=proposal, fingerprint=str(number), seed=0)


def test_a_driver_killed_on_a_cluster_and_submitted_again_repeats_nothing(cluster, add_node, nas, tmp_path):
    path = tmp_path / "run"
    add_node(num_cpus=2)
    command = ["search", nas.config, "--run-dir", path, "--executor", "ray", "--address", cluster.address, "--resume"]
    slower = ["--set", "proxy.training.steps=40", "--set", "budget.repeats=0"]
    driver = nas.popen(*command, *slower)
    wait_for_results(path, 2)
    driver.kill()
    driver.communicate()
    before = objectives(path)
    assert 2 <= len(before) < 8
    nas(*command, *slower)
    after = objectives(path)
    assert len(after) == 8
    assert before.items() <= after.items()
    assert set(results_written(path).values()) == {1}


def slowly(genome, seed):
    time.sleep(1)
    return Failed("diverged", "slowly")


def test_a_cluster_without_nodes_grows_when_asked_and_shrinks_when_the_search_ends(cluster, ray_head, tmp_path):
    import ray
    from ray.util import get_node_ip_address

    port = free_port()
    workers = {"resources": {"CPU": 1, **STORE}, "node_config": {}, "min_workers": 0, "max_workers": 2}
    head_type = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    # Ray's own provider of nodes for tests: real ones, on this machine.
    provider = {"type": "fake_multinode", "use_node_id_as_ip": True, "gcs_address": f"{get_node_ip_address()}:{port}"}
    provider |= {"disable_node_updaters": True, "disable_launch_config_check": True}
    autoscaler = {"cluster_name": "growing", "max_workers": 2, "provider": provider, "head_node_type": "head"}
    autoscaler |= {"available_node_types": {"head": head_type, "worker": workers}, "idle_timeout_minutes": 0.05}
    autoscaler |= {"auth": {}, "docker": {}, "file_mounts": {}, "cluster_synced_files": [], "rsync_filter": []}
    autoscaler |= {"rsync_exclude": [], "file_mounts_sync_continuously": False, "upscaling_speed": 1.0}
    commands = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    autoscaler |= {f"{name}_commands": [] for name in commands}
    (tmp_path / "autoscaler.json").write_text(json.dumps(autoscaler))
    ray.shutdown()  # a process is on one cluster at a time
    head = ray_head(
        *("--num-cpus", 0, "--autoscaling-config", tmp_path / "autoscaler.json"),
        port=port,
        AUTOSCALER_UPDATE_INTERVAL_S="1",
        RAY_FAKE_CLUSTER="1",
    )
    growing = executor(slowly, address=head.address, max_parallel=3, autoscaling=True)
    try:
        assert growing.capacity == 1
        outcomes, num_submitted = {}, 0
        give_up = time.monotonic() + 100
        while len(outcomes) < 8 and time.monotonic() < give_up:
            while num_submitted < 8 and num_submitted - len(outcomes) < growing.capacity:
                growing.submit(candidate(num_submitted))
                num_submitted += 1
            outcomes.update(growing.wait(timeout_s=0.5))
        assert outcomes == {number: Failed("diverged", "slowly") for number in range(8)}
        wait_until(lambda: growing.capacity == 3)  # two nodes, and one more that it asks for
    finally:
        room = growing._room
        growing._owns_connection = False  # to look at the cluster once more
        growing.shutdown()
        wait_until(lambda: room.num_fitting == 0)
        ray.shutdown()
        ray.init(address=cluster.address, log_to_driver=False)
