"""Whole searches whose record is in PostgreSQL, on the command line."""

import json
import signal
import stat
import time

import pytest

from nas.run import Run

pytestmark = pytest.mark.slow

SLOWER = ("--set", "proxy.training.steps=60")


def objectives(path):
    return {record.number: (record.genome, record.objectives) for record in Run(path).study.history()}


def test_a_search_in_a_database_ends_like_one_in_a_journal_also_when_killed(nas, tmp_path, database):
    path, storage = tmp_path / "run", ("--set", f"study.storage={database}")
    process = nas.popen("search", nas.config, "--run-dir", path, *storage, *SLOWER)
    for _ in range(600):
        if (path / "trials" / "2").exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)
    second = nas("search", nas.config, "--run-dir", tmp_path / "second", *storage, *SLOWER, expect=5)
    assert "One search at a time may write the study 'small'; hybridnas" in second.stderr
    assert not (tmp_path / "second").exists()
    process.kill()
    process.communicate()
    finished_before = objectives(path)
    assert not (path / "study.journal").exists()
    nas("resume", path)
    after = objectives(path)
    assert len(after) == 9
    assert finished_before.items() <= after.items()
    nas("search", nas.config, "--run-dir", tmp_path / "whole", *SLOWER)
    assert after == objectives(tmp_path / "whole")
    taken = nas("search", nas.config, "--run-dir", tmp_path / "second", *storage, expect=5)
    assert "has a study 'small'" in taken.stderr
    assert "study.name" in taken.stderr
    nas("search", nas.config, "--run-dir", tmp_path / "second", *storage, "--set", "study.name=second")
    assert [one["name"] for one in json.loads(nas("study", "list", database, "--json").stdout)] == ["second", "small"]


def test_a_run_moves_into_a_database_and_goes_on_there(nas, tmp_path, database):
    path = tmp_path / "run"
    nas("search", nas.config, "--run-dir", path)
    before = objectives(path)
    moved = ("--set", f"study.storage={database}?password=secret", "--set", "budget.evaluations=9")
    refused = nas("resume", path, *moved, expect=5)
    assert "copy it there first" in refused.stderr
    assert "secret" not in refused.stderr
    nas("study", "export", path, "--storage", database)
    nas("resume", path, *moved)
    after = objectives(path)
    assert len(after) == 10
    assert before.items() <= after.items()
    assert stat.S_IMODE((path / "config.yaml").stat().st_mode) == 0o600
    changed = nas("resume", path, "--set", "seed=4", expect=3)
    assert "seed: 3 -> 4" in changed.stderr
