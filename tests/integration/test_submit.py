"""`nas submit` to a real Ray head: the job ends well, also after its driver was killed."""

import psutil
import pytest

from tests.integration.test_interruption import objectives, results_written, wait_for_results

pytestmark = pytest.mark.slow

SLOWER = ["--set", "proxy.training.steps=40", "--set", "budget.repeats=0", "--set", "resources.executor=ray"]


def driver_of(path):
    """The process of the search itself, not the shell around it."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(path) in words and "search" in words:
            return process
    pytest.fail("no driver runs")


def test_a_job_whose_driver_is_killed_goes_on_when_it_is_submitted_again(nas, ray_head, tmp_path):
    path = tmp_path / "run"
    head = ray_head("--num-cpus", 2, dashboard=True)
    submit = ["submit", nas.config, "--run-dir", path, "--address", head.dashboard, *SLOWER]
    submitted = nas(*submit, "--job-id", "first")
    assert submitted.stdout == "first\n"
    assert f"ray job logs -f first --address {head.dashboard}" in submitted.stderr
    assert f"nas status {path}" in submitted.stderr
    wait_for_results(path, 2)
    driver = driver_of(path)
    driver.kill()
    driver.wait(timeout=60)
    before = objectives(path)
    assert 2 <= len(before) < 8
    again = nas(*submit, "--wait", "--job-id", "second")
    assert "already done" in again.stderr
    after = objectives(path)
    assert len(after) == 8
    assert before.items() <= after.items()
    assert set(results_written(path).values()) == {1}
    taken = nas(*submit, "--job-id", "second", expect=4)
    assert "did not take the job: ValueError: Job with submission_id second already exists" in taken.stderr
    failing = nas(*submit, "--set", "seed=4", "--wait", expect=1)
    assert "ended as FAILED" in failing.stderr
    assert "only budget" in failing.stderr


def test_what_a_submission_cannot_mean_is_said_before_anything_is_sent(nas, tmp_path):
    run = ["--run-dir", tmp_path / "run"]
    there = ["--address", "http://127.0.0.1:1"]
    ray = ["--set", "resources.executor=ray"]
    result = nas("submit", nas.config, *run, "--address", "127.0.0.1:6379", *ray, expect=2)
    assert "http://HEAD:8265; got '127.0.0.1:6379'" in result.stderr
    result = nas("submit", nas.config, "--run-dir", "run", *there, *ray, expect=2)
    assert "must be an absolute path" in result.stderr
    result = nas("submit", nas.config, *run, *there, expect=3)
    assert "got resources.executor: inprocess" in result.stderr
    result = nas("submit", nas.config, *run, *there, *ray, "--set", "seeds=[mine.yaml]", expect=3)
    assert "seeds must be an absolute path there; got 'mine.yaml'" in result.stderr
    result = nas("submit", nas.config, *run, *there, "--set", "budget.evaluation=9", expect=3)
    assert "unknown key 'budget.evaluation'" in result.stderr
    result = nas("submit", nas.config, *run, *there, *ray, expect=4)
    assert "No Ray dashboard answers at http://127.0.0.1:1" in result.stderr
    assert not (tmp_path / "run").exists()
