"""Killed or interrupted at any moment, a search loses nothing that finished and repeats nothing that did."""

import json
import signal
import time
from collections import Counter

import pytest

from nas.run import Run
from nas.run_directory import RunDirectory

pytestmark = pytest.mark.slow

SLOWER = ["--set", "proxy.training.steps=40", "--set", "budget.repeats=0"]


def wait_for_results(path, count, *, timeout_s=120):
    """Wait until the journal holds `count` results."""
    deadline = time.monotonic() + timeout_s
    journal = RunDirectory(path).journal
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b'"result"') >= count:
            return
        time.sleep(0.02)
    pytest.fail(f"{count} results did not come within {timeout_s} s")


def results_written(path):
    """How often each trial's result was written."""
    lines = RunDirectory(path).journal.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return Counter(record["trial_id"] for record in records if "result" in record.get("user_attr", {}))


def objectives(path):
    return {record.number: (record.genome, record.objectives) for record in Run(path).study.history()}


@pytest.mark.parametrize("executor", ["inprocess", "ray"])
def test_killed_in_the_middle_and_resumed_it_ends_like_one_that_was_not(nas, tmp_path, executor):
    path = tmp_path / "run"
    process = nas.popen("search", nas.config, "--run-dir", path, "--executor", executor, *SLOWER)
    wait_for_results(path, 3)
    process.kill()
    process.communicate()
    finished_before = objectives(path)
    assert 3 <= len(finished_before) < 8
    nas("resume", path)
    after = objectives(path)
    assert len(after) == 8
    assert finished_before.items() <= after.items()
    assert set(results_written(path).values()) == {1}
    if executor == "inprocess":
        nas("search", nas.config, "--run-dir", tmp_path / "whole", *SLOWER)
        assert after == objectives(tmp_path / "whole")


@pytest.mark.parametrize(
    ("number", "executor"), [(signal.SIGINT, "inprocess"), (signal.SIGTERM, "inprocess"), (signal.SIGTERM, "ray")]
)
def test_an_interrupt_ends_with_75_and_words_to_continue(nas, tmp_path, number, executor):
    path = tmp_path / "run"
    process = nas.popen("search", nas.config, "--run-dir", path, "--executor", executor, *SLOWER)
    wait_for_results(path, 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert f"nas resume {path}" in err
    assert "Traceback" not in err
    assert json.loads(nas("status", path, "--json").stdout)["state"] == "interrupted"
    nas("resume", path)
    assert len(objectives(path)) == 8


def test_a_torn_last_line_is_repaired_and_reported(nas, tmp_path):
    path = tmp_path / "run"
    nas("search", nas.config, "--run-dir", path, "--set", "budget.evaluations=3", "--set", "budget.repeats=0")
    before = objectives(path)
    with RunDirectory(path).journal.open("ab") as journal:
        journal.write(b'{"op_code": 8, "worker_id": "to')
    assert json.loads(nas("status", path, "--json").stdout)["finished"] == 3
    result = nas("resume", path, "--set", "budget.evaluations=4")
    assert "31 bytes were cut" in result.stderr
    assert before.items() <= objectives(path).items()
    assert len(objectives(path)) == 4


def test_a_second_writer_is_refused_and_disturbs_nothing(nas, tmp_path):
    path = tmp_path / "run"
    long = ["--set", "proxy.training.steps=300", "--set", "budget.evaluations=9", "--set", "budget.repeats=0"]
    with nas.popen("search", nas.config, "--run-dir", path, *long) as first:
        wait_for_results(path, 1)
        second = nas("resume", path, expect=5)
        assert f"process {first.pid} does" in second.stderr
        assert json.loads(nas("status", path, "--json").stdout)["state"] == "running"
        first.communicate(timeout=120)
    assert first.returncode == 0
    assert len(objectives(path)) == 9
