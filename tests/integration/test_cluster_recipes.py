"""What `docs/cluster.md` and its files tell users to run: it parses, our command takes it, and the script runs."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
import yaml

from nas.cli.main import app
from nas.config import ResourcesConfig
from tests.integration.conftest import RAY_TOKEN
from tests.integration.test_interruption import objectives, results_written, wait_for_results

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
JOB = yaml.safe_load((ROOT / "docs" / "cluster" / "rayjob.yaml").read_text(encoding="utf-8"))
SCRIPT = ROOT / "docs" / "cluster" / "slurm.sh"
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def commands():
    for block in BLOCKS:
        yield from (line for line in block.splitlines() if line.startswith("nas "))
    yield JOB["spec"]["entrypoint"]
    yield from re.findall(r"^nas .*(?= &$)", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_line_is_one_that_we_take(line):
    _, *words = shlex.split(line.replace(' "$@"', ""), comments=True)
    group = typer.main.get_command(app)
    with group.make_context("nas", list(words)) as context:
        name, command, rest = group.resolve_command(context, words)
        taken = command.make_context(name, rest, parent=context).params
    assert taken["run_dir"] is not None
    assert taken["address"] is not None
    assert name == "submit" or taken["resume"]


def test_every_section_of_a_configuration_is_valid():
    sections = [yaml.safe_load(block)["resources"] for block in BLOCKS if block.startswith("resources:")]
    assert len(sections) == 2
    for section in sections:
        ResourcesConfig.model_validate(section)


def test_the_job_starts_a_head_without_candidates_and_mounts_what_the_search_names():
    cluster = JOB["spec"]["rayClusterSpec"]
    head = cluster["headGroupSpec"]
    assert head["rayStartParams"] == {"num-cpus": "0"}
    mounted = {mount["mountPath"] for mount in head["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert {f"/{word.split('/')[1]}" for word in JOB["spec"]["entrypoint"].split() if word[0] == "/"} == mounted
    assert cluster["enableInTreeAutoscaling"]
    assert JOB["spec"]["backoffLimit"] > 0


SRUN = """#!/bin/bash
# Runs a step here: this machine is every node.
while [[ $1 == --* ]]; do shift; done
if [[ $1 == hostname ]]; then echo 127.0.0.1; exit; fi
echo "$@" >> "$STEPS"
if [[ " $* " == *" --head "* ]]; then exec "$@" --temp-dir "$RAY_FOLDER" --object-store-memory 104857600; fi
exec "$@" --object-store-memory 104857600
"""
SCONTROL = """#!/bin/bash
if [[ $1 == show ]]; then printf 'one\\ntwo\\n'; else echo "$@" >> "$STEPS"; fi
"""


@pytest.fixture
def slurm(tmp_path, nas):
    """Runs the script as SLURM would on two nodes, both of which are this machine."""
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    folder = Path(f"/tmp/ray-{os.getpid()}")  # short: sockets lie under it
    environment = os.environ | RAY_TOKEN
    environment |= {"PATH": f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_CPUS_ON_NODE": "1"}
    environment |= {"STEPS": str(tmp_path / "steps"), "RAY_FOLDER": str(folder), "SLURM_JOB_ID": str(os.getpid())}
    started = []

    def start(*words):
        command = ["bash", SCRIPT, nas.config, tmp_path / "run", *words]
        process = subprocess.Popen(
            [*map(str, command)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_the_script_for_slurm_ends_resumably_when_told_to_and_then_with_a_finished_run(slurm, tmp_path):
    slower = ["--set", "proxy.training.steps=40", "--set", "budget.repeats=0"]
    first = slurm(*slower)
    wait_for_results(tmp_path / "run", 2)
    first.send_signal(signal.SIGTERM)
    words, _ = first.communicate(timeout=100)
    assert first.returncode == 75, words
    steps = (tmp_path / "steps").read_text().splitlines()
    assert steps[-1] == f"requeue {os.getpid()}"
    assert sum("ray start" in step for step in steps) == 2
    before = objectives(tmp_path / "run")
    assert 2 <= len(before) < 8
    second = slurm(*slower)
    words, _ = second.communicate(timeout=200)
    assert second.returncode == 0, words
    assert before.items() <= objectives(tmp_path / "run").items()
    assert len(objectives(tmp_path / "run")) == 8
    assert set(results_written(tmp_path / "run").values()) == {1}
