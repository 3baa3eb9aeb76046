"""A real search, made small: real text, real training, real latencies of this machine, the real command line."""

import os
import subprocess
import sys
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


class Nas:
    """The command `nas`, as a user runs it."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "tests-only-" + "0" * 32}

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


def write_config(path: Path, *, text: Path, table: Path | None = None, **changes: object) -> Path:
    content = CONFIG | changes
    content["proxy"] = content["proxy"] | {"corpus": f"file:{text}/*.txt"}
    if table is not None:
        content["latency"] = content["latency"] | {"table": str(table)}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
