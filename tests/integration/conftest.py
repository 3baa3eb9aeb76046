"""A real search, made small: real text, real training, real latencies of this machine, the real command line."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

SPACE = {
    "schema_version": 1,
    "space": "staged",
    "blocks": {"grammar": "free", "mixers": ["a", "m2", "d"], "max_mixers": 2, "ffns_per_mixer": [0, 1]},
    "num_stages": 2,
    "max_repeats": 2,
    "min_operators": 1,
    "max_operators": 4,
    "hidden_sizes": [16, 32],
    "width_is_gene": True,
    "vocab_size": 300,
    "tie_embeddings": True,
    "dimensions": {"head_dim": 16, "mamba_head_dim": 16, "mamba_state_size": 8, "rope_theta": 10000.0},
}

CONFIG = {
    "schema_version": 1,
    "name": "small",
    "seed": 3,
    "space": SPACE,
    "latency": {"workload": {"phase": "both", "prompt_tokens": 32, "generated_tokens": 8}},
    "proxy": {
        "corpus": "",
        "training": {"steps": 12, "batch_size": 2, "sequence_tokens": 32, "validation_sequences": 8},
    },
    "strategy": {"name": "frontier", "population_size": 4, "tournament_size": 3},
    "budget": {"evaluations": 8, "repeats": 1},
    "resources": {"executor": "inprocess"},
}


RAY_TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "tests-only-" + "0" * 32}
"""Ray keeps a token under the home directory otherwise, which later commands would have to know."""


@dataclass(frozen=True)
class Head:
    """A head started by the command `ray start`, as on a cluster."""

    process: subprocess.Popen[bytes]
    address: str
    dashboard: str


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("", 0))
        return int(one.getsockname()[1])


@pytest.fixture
def ray_head() -> Iterator[Callable[..., Head]]:
    """Starts heads, beside whatever other cluster this machine runs, and ends them."""
    heads = []
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: sockets lie under it

    def start(*arguments: object, port: int | None = None, dashboard: bool = False, **environment: str) -> Head:
        port, dashboard_port = port or free_port(), free_port()
        own_ports = ("ray-client-server-port", "dashboard-agent-listen-port", "dashboard-agent-grpc-port")
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--port", port]
        command += ["--temp-dir", folder, "--dashboard-port", dashboard_port]
        command += [f"--include-dashboard={dashboard}", "--object-store-memory", 100 * 1024**2]
        command += [word for name in own_ports for word in (f"--{name}", free_port())]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        process = subprocess.Popen(
            [*map(str, command), *map(str, arguments)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | RAY_TOKEN | {"PATH": path} | environment,
        )
        heads.append(process)
        for awaited in (port, dashboard_port) if dashboard else (port,):
            wait_for_port(awaited)
        return Head(process, f"127.0.0.1:{port}", f"http://127.0.0.1:{dashboard_port}")

    yield start
    for process in heads:
        process.terminate()
        process.wait(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def wait_for_port(port: int, *, timeout_s: float = 60) -> None:
    give_up = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < give_up, f"nothing answers at port {port}"
            time.sleep(0.1)


class Nas:
    """The command `nas`, as a user runs it."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.environment = os.environ | RAY_TOKEN

    def popen(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "nas.cli.main", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )

    def __call__(self, *arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
        with self.popen(*arguments) as process:
            out, err = process.communicate(timeout=240)
        assert process.returncode == expect, f"exit code {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text: this project's own source."""
    folder = tmp_path_factory.mktemp("text")
    for number, path in enumerate(sorted((Path(__file__).parents[2] / "search_spaces").glob("*.py"))):
        (folder / f"{number:02}.txt").write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    """A latency table of this machine, measured once and then given by name."""
    folder = tmp_path_factory.mktemp("table")
    run = folder / "run"
    config = write_config(folder / "measure.yaml", text=text, budget={"evaluations": 1})
    Nas(config)("search", config, "--run-dir", run)
    return run / "latency.parquet"


@pytest.fixture(scope="module")
def nas(tmp_path_factory: pytest.TempPathFactory, text: Path, table: Path) -> Nas:
    folder = tmp_path_factory.mktemp("config")
    return Nas(write_config(folder / "small.yaml", text=text, table=table))


@pytest.fixture(scope="module")
def nas_without_table(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Nas:
    """For tests that measure a table of their own."""
    return Nas(write_config(tmp_path_factory.mktemp("config") / "small.yaml", text=text))


def write_config(path: Path, *, text: Path, table: Path | None = None, **changes: object) -> Path:
    content = CONFIG | changes
    content["proxy"] = content["proxy"] | {"corpus": f"file:{text}/*.txt"}
    if table is not None:
        content["latency"] = content["latency"] | {"table": str(table)}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
