"""A driver without the device, on a real Ray cluster whose other node offers it: a logical GPU that times its CPU."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import pytest
import yaml

from latency.device import DeviceMismatchError
from latency.device_probe import current_fingerprint
from latency.plan import missing
from latency.table import LatencyTable
from latency.workload import Workload
from nas.config import read_config
from nas.errors import ResourceError
from nas.executors.ray_device import DeviceDemand, RayDevice
from nas.latency_source import needed_rows
from nas.remote_measuring import RemoteMeasuring
from nas.run_directory import RunDirectory
from nas.search import start
from nas.verification import read_verified
from search_spaces.presets import space_from_dict

pytestmark = pytest.mark.slow

SPACE = {
    "schema_version": 1,
    "space": "staged",
    "blocks": {"grammar": "free", "mixers": ["a", "d"], "max_mixers": 1, "ffns_per_mixer": [0, 1]},
    "num_stages": 1,
    "max_repeats": 2,
    "min_operators": 1,
    "max_operators": 4,
    "hidden_sizes": [16, 32, 48],
    "width_is_gene": True,
    "vocab_size": 64,
    "tie_embeddings": True,
    "dimensions": {"head_dim": 16, "rope_theta": 10000.0},
}
WORKLOAD = {"phase": "decode", "prompt_tokens": 4, "generated_tokens": 4}
ROWS = needed_rows(Workload.from_dict(WORKLOAD), space_from_dict(SPACE))
ACCELERATOR = {"accelerator_type:H100": 1}


class Watching:
    """Remembers what it was told, and may do something the moment a row was reported."""

    def __init__(self, first_row=lambda: None):
        self.measured, self.checked, self.notices = [], [], []
        self.first_row = first_row

    def measuring(self, done, total, words):
        self.measured.append((done, total, words))
        if len(self.measured) == 1:
            self.first_row()

    def checking(self, done, total, words):
        self.checked.append((done, total, words))

    def notice(self, words):
        self.notices.append(words)

    def begins(self, **_):
        pass

    def started(self, candidate):
        pass

    def ended(self, record):
        pass

    def tick(self):
        pass


@pytest.fixture(scope="module")
def cluster():
    # Ray keeps a token under the home directory otherwise, which later commands would have to know.
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "tests-only-" + "0" * 32}
    before = {name: os.environ.get(name) for name in token}
    os.environ |= token
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 100 * 1024**2, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    add_node(cluster)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def add_node(cluster):
    return cluster.add_node(num_cpus=1, num_gpus=1, resources=ACCELERATOR, object_store_memory=100 * 1024**2)


def remote(accelerator="H100", *, max_retries=1):
    demand = DeviceDemand(num_cpus=1, num_gpus=1, accelerator=accelerator)
    cluster = RayDevice(demand, notice=lambda words: None)
    return RemoteMeasuring(cluster, device="cpu", num_threads=1, max_retries=max_retries)


def saved(path):
    return {row.key: row for row in LatencyTable.load(path)}


def test_a_cluster_without_the_accelerator_says_what_it_has(cluster, tmp_path):
    wanting = remote("B200")
    words = r"no node of the Ray cluster offers 1 CPU and 1 GPU \(B200\); the cluster has 2 CPU and 1 GPU \(H100\)"
    with pytest.raises(ResourceError, match=words):
        wanting.measured_table(ROWS, path=tmp_path / "t.parquet", measuring=Watching().measuring)
    assert "B200" in wanting.obstacle()
    assert remote().obstacle() is None


def test_a_node_of_another_device_than_the_tables_is_refused(cluster):
    other = LatencyTable(fingerprint=replace(current_fingerprint("cpu", num_threads=1), device_name="Model 9000"))
    workload = Workload.from_dict(WORKLOAD)
    model = space_from_dict(SPACE).decode(space_from_dict(SPACE).sample(rng=np.random.default_rng(0)))
    with pytest.raises(DeviceMismatchError, match=r"device_name \(table Model 9000, here "):
        list(remote().whole_times_ms([model], workload=workload, table=other))


def test_a_search_is_measured_checked_and_verified_where_the_device_is(cluster, tmp_path):
    content = {
        "schema_version": 1,
        "name": "remote",
        "space": SPACE | {"hidden_sizes": [16, 32], "blocks": SPACE["blocks"] | {"mixers": ["d"]}},
        "latency": {"workload": WORKLOAD, "validation_models": 2},
        "proxy": {"training": {"steps": 2, "batch_size": 1, "sequence_tokens": 16, "validation_sequences": 2}},
        "strategy": {"name": "random"},
        "budget": {"evaluations": 2},
        "resources": {"executor": "ray", "address": cluster.address, "max_parallel": 1},
    }
    text = tmp_path / "text.txt"
    text.write_text("some words to learn. " * 500)
    content["proxy"]["corpus"] = f"file:{text}"
    config = read_config(yaml.safe_dump(content), where="test")

    @contextmanager
    def elsewhere(config, notice):
        yield remote()

    watching = Watching()
    start(config, tmp_path / "run", observer=watching, uninterrupted=nullcontext, measuring=elsewhere)
    directory = RunDirectory.open(tmp_path / "run")
    table = LatencyTable.load(directory.latency)
    assert not missing(needed_rows(config.latency.workload, config.load_space()), table)
    assert len(table.validation(config.latency.workload).models) == 2
    assert read_verified(directory)
    # A busy machine may take long to start a worker, and says so.
    assert not [words for words in watching.notices if not words.startswith("Waiting for a node")]


def test_a_killed_driver_and_then_a_killed_node_lose_no_row(cluster, tmp_path):
    path, rows = tmp_path / "table.parquet", tmp_path / "rows.yaml"
    rows.write_text(yaml.safe_dump({"space": SPACE, "workload": WORKLOAD}))
    process = subprocess.Popen([sys.executable, "-c", DRIVER, cluster.address, str(path), str(rows)])
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    of_driver, of_node = saved(path), {}
    assert 0 < len(of_driver) < len(ROWS)

    def kill():
        of_node.update(saved(path))
        [node] = cluster.worker_nodes
        cluster.remove_node(node, allow_graceful=False)
        add_node(cluster)

    table = remote().measured_table(ROWS, path=path, measuring=Watching(kill).measuring)
    assert len(of_driver) < len(of_node) < len(ROWS)
    assert not missing(ROWS, table)
    after = saved(path)
    assert set(after) == {request.key for request in ROWS}
    assert all(after[key] == row for key, row in (of_driver | of_node).items())
    assert table.fingerprint.matches(current_fingerprint("cpu", num_threads=1))


DRIVER = """
import sys, ray, yaml
from pathlib import Path
from latency.workload import Workload
from nas.executors.ray_device import DeviceDemand, RayDevice
from nas.latency_source import needed_rows
from nas.remote_measuring import RemoteMeasuring
from search_spaces.presets import space_from_dict
address, path, rows = sys.argv[1:]
content = yaml.safe_load(Path(rows).read_text())
requests = needed_rows(Workload.from_dict(content["workload"]), space_from_dict(content["space"]))
ray.init(address=address, log_to_driver=False)
demand = DeviceDemand(num_cpus=1, num_gpus=1, accelerator="H100")
measuring = RemoteMeasuring(RayDevice(demand, notice=print), device="cpu", num_threads=1, max_retries=1)
measuring.measured_table(requests, path=Path(path), measuring=lambda *_: None)
"""
