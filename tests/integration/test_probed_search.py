"""A search over perplexity, recall and latency: from the command line to the report."""

import json

import pytest

from nas.run import Run

pytestmark = pytest.mark.slow

PROBED = (
    "--set",
    "objectives=[perplexity, recall_error, latency_ms]",
    "--set",
    "proxy.probes={tasks: [multi_query_recall, memorization], difficulty: tiny}",
)


def test_recall_is_searched_for_beside_perplexity(nas, tmp_path):
    path = tmp_path / "run"
    nas("search", nas.config, "--run-dir", path, *PROBED, "--set", "budget.evaluations=5")
    history = Run(path).study.history()
    assert history.objectives == ("perplexity", "recall_error", "latency_ms")
    for record in history.finished():
        assert 0 <= record.objectives["recall_error"] <= 1
        assert set(record.details["probes"]) == {"multi_query_recall", "memorization"}
    listed = json.loads(nas("pareto", path, "--json").stdout)
    assert len(listed) == len(history.frontier())
    shown = json.loads(nas("show", path, history.frontier()[0].number, "--json").stdout)
    assert "recall_error" in json.dumps(shown)
    assert nas("status", path).stdout
    assert "ecall" in (path / "report.html").read_text()
