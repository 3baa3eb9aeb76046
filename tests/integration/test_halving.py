"""A search that stops trainings early: from the command line to the report."""

import json

import pytest

from nas.run import Run

pytestmark = pytest.mark.slow

HALVING = (
    "--set",
    "proxy.halving={rungs: [0.2, 0.5], keep: 0.1, min_seen: 3, explore: 0.2}",
    "--set",
    "budget.evaluations=16",
    "--set",
    "strategy.name=random",
    "--set",
    "strategy.population_size=null",
    "--set",
    "strategy.tournament_size=null",
)


def test_some_trainings_are_stopped_and_the_tokens_saved_are_told(nas, tmp_path):
    path = tmp_path / "run"
    nas("search", nas.config, "--run-dir", path, *HALVING)
    history = Run(path).study.history()
    stopped = history.stopped()
    assert stopped
    for record in stopped:
        assert record.details["tokens_seen"] < record.details["tokens_planned"]
        assert record.expected > 1
        assert "stopped" in (path / "trials" / str(record.number) / "log.txt").read_text()
    told = json.loads(nas("status", path, "--json").stdout)
    assert told["stopped"] == told["halving"]["stopped"] == len(stopped)
    assert told["halving"]["tokens_spent"] < told["halving"]["tokens_of_full_trainings"]
    assert f"{len(stopped)} of 16 trainings stopped early" in nas("status", path).stdout
    report = (path / "report.html").read_text()
    assert f"{len(stopped)} stopped early" in report
