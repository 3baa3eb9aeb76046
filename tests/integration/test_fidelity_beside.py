"""A real search that trains some of its candidates longer while it runs: killed, continued, and as if it did not."""

import json
import signal
import time
from collections import Counter

import pytest

from nas.run import Run

pytestmark = pytest.mark.slow

SETTINGS = (
    "budget.evaluations=9",
    "budget.repeats=0",
    "latency.workload={phase: decode, generated_tokens: 2}",
    "latency.validation_models=2",
)
ROUNDS = "proxy.fidelity={every: 3, candidates: 2, tokens_multiple: 3}"
NUM_TRAININGS = 3 * 2 * 2
"""Three rounds of two candidates, each trained longer and scored without training."""


def settings(*more):
    return [word for setting in (*SETTINGS, *more) for word in ("--set", setting)]


def results_in(journal):
    """How often each trial's result was written."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    return Counter(line["trial_id"] for line in lines if "result" in line.get("user_attr", {}))


def archive(path):
    return {record.number: (record.genome, record.objectives) for record in Run(path).study.history()}


def kill_after(nas, command, *, journal, count):
    process = nas.popen(*command)
    deadline = time.monotonic() + 120
    while sum(results_in(journal).values()) < count:
        assert time.monotonic() < deadline, "no results came"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.fixture(scope="module")
def nas(nas_without_table):
    return nas_without_table


@pytest.fixture(scope="module")
def plain(nas, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "run"
    nas("search", nas.config, "--run-dir", path, *settings())
    return path


@pytest.fixture(scope="module")
def beside(nas, plain, tmp_path_factory):
    """Killed with kill -9 in its first round and again in its second, then continued to its end."""
    path = tmp_path_factory.mktemp("beside") / "run"
    journal = path / "fidelity" / "study.journal"
    same_table = f"latency.table={plain / 'latency.parquet'}"
    command = ("search", nas.config, "--run-dir", path, *settings(ROUNDS, same_table))
    kill_after(nas, command, journal=journal, count=2)
    first = results_in(journal)
    kill_after(nas, ("resume", path), journal=journal, count=6)
    second = results_in(journal)
    assert 2 <= len(first) < len(second) < NUM_TRAININGS
    return path, nas("resume", path)


def test_the_candidates_are_those_of_a_search_without(beside, plain):
    path, _ = beside
    assert archive(path) == archive(plain)


def test_no_training_is_lost_and_none_is_trained_twice(beside):
    path, _ = beside
    written = results_in(path / "fidelity" / "study.journal")
    assert set(written.values()) == {1}
    assert len(written) == NUM_TRAININGS


def test_the_record_is_the_one_that_the_command_writes(beside, nas):
    path, result = beside
    kept = json.loads((path / "fidelity.json").read_text())
    assert "ranks 6 candidates as training 3 times as long" in result.stderr
    assert len(kept["rows"]) == 6
    assert all([one["times"] for one in row["trained"]] == [3.0] for row in kept["rows"])
    assert all("snip" in row["scores"] for row in kept["rows"])
    asked = nas("proxy", "fidelity", path, "--json")
    assert json.loads(asked.stdout) == kept
    assert len(results_in(path / "fidelity" / "study.journal")) == NUM_TRAININGS


def test_the_best_candidate_of_every_round_is_among_those_trained_longer(beside):
    path, _ = beside
    trained = {row["trial"] for row in json.loads((path / "fidelity.json").read_text())["rows"]}
    ended = list(Run(path).study.history())
    for num in (3, 6, 9):
        assert min(ended[:num], key=lambda record: record.objectives["perplexity"]).number in trained


def test_the_report_and_the_commands_say_which_score_ranked_and_why(beside, plain, nas):
    path, _ = beside
    page = (path / "report.html").read_text()
    assert "How far short training can be trusted" in page
    assert "Candidates are ranked by raw perplexity: over 6 candidates trained 3 times as long" in page
    assert "by raw perplexity: nothing of this run was trained longer" in (plain / "report.html").read_text()
    ranking = json.loads(nas("status", path, "--json").stdout)["ranking"]
    assert ranking["score"] == "raw perplexity"
    assert "of too few candidates to choose by" in ranking["why"]
    assert f"Ranked by raw perplexity: {ranking['why']}" in nas("pareto", path).stderr


def test_a_finished_run_may_be_trained_longer_on_resume(plain, nas, tmp_path):
    nas("resume", plain, "--set", ROUNDS, "--executor", "ray")
    assert len(json.loads((plain / "fidelity.json").read_text())["rows"]) == 6
