"""Whatever a user can do wrong: one clear error, its exit code, and nothing lost or left behind."""

import re
from dataclasses import replace

import pytest

from latency.table import LatencyTable

pytestmark = pytest.mark.slow


def refused(nas, *arguments, expect):
    result = nas(*arguments, expect=expect)
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    return result.stderr


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        ("budget.evaluatons=3", 3, "Did you mean 'evaluations'?"),
        ("proxy.corpus=file:/nowhere/*.txt", 3, "/nowhere/*.txt"),
        ("proxy.corpus=stdlb", 3, "stdlib"),
        ("proxy.training.sequence_tokens=10000000", 3, "10000000"),
        ("resources={executor: ray, address: '127.0.0.1:1'}", 4, "does not answer"),
        ("latency.table=/nowhere.parquet", 4, "/nowhere.parquet"),
        ("latency.workload.prompt_tokens=4096", 4, "nas latency profile"),
        ("latency={validation_models: 1, workload: {phase: prefill, prompt_tokens: 8}}", 3, "accept_unvalidated"),
        ("seeds=[nemotron-flash-1b]", 3, "does not lie in the space"),
        ("seeds=[nemotron-flash-1]", 2, "Did you mean 'nemotron-flash-1b'?"),
    ],
)
def test_a_search_that_cannot_begin_leaves_no_run_directory(nas, tmp_path, override, code, words):
    message = refused(nas, "search", nas.config, "--run-dir", tmp_path / "run", "--set", override, expect=code)
    assert words in message
    assert not (tmp_path / "run").exists()


def test_a_table_that_was_never_checked_is_refused_unless_accepted(nas, table, tmp_path):
    unchecked = LatencyTable.load(table)
    unchecked.metadata.clear()
    unchecked.save(tmp_path / "unchecked.parquet")
    given = ["--set", f"latency.table={tmp_path}/unchecked.parquet"]
    command = ["search", nas.config, "--run-dir", tmp_path / "run", *given, "--set", "budget.evaluations=1"]
    message = refused(nas, *command, expect=4)
    assert "nas latency validate --table" in message
    assert "latency.accept_unvalidated: true" in message
    nas(*command, "--set", "latency.accept_unvalidated=true")
    assert "never checked against whole models" in (tmp_path / "run" / "report.html").read_text()


def test_a_table_of_another_device_or_version_is_refused_unless_insisted_on(nas, table, tmp_path):
    other = LatencyTable.load(table)
    other.fingerprint = replace(other.fingerprint, device_name="Model 9000", torch="2.0.0")
    other.save(tmp_path / "other.parquet")
    given = ["--set", f"latency.table={tmp_path}/other.parquet"]
    command = ["search", nas.config, "--run-dir", tmp_path / "run", *given, "--set", "budget.evaluations=1"]
    message = refused(nas, *command, expect=4)
    assert "device_name (table Model 9000, here " in message
    assert "torch (table 2.0.0, here " in message
    assert "latency.accept_other_device: true" in message
    assert not (tmp_path / "run").exists()
    nas(*command, "--set", "latency.accept_other_device=true")


def test_an_empty_corpus_is_refused(nas, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    corpus = f"proxy.corpus=file:{tmp_path}/empty.txt"
    assert "empty" in refused(nas, "search", nas.config, "--run-dir", tmp_path / "run", "--set", corpus, expect=3)


def test_a_budget_no_width_fits_names_the_smallest_that_would(nas, tmp_path):
    command = ["search", nas.config, "--run-dir", tmp_path / "run", "--set", "constraints.latency_ms=0.001"]
    message = refused(nas, *command, expect=3)
    smallest = re.search(r"latency_ms <= 0.001, while the smallest found in the space is ([0-9.]+)\.", message)
    assert "training" not in message
    # Nothing was begun, so the same run may go on with the bound that was named.
    budget = ["--set", "budget.evaluations=1", "--set", "budget.repeats=0"]
    nas("resume", tmp_path / "run", "--set", f"constraints.latency_ms={smallest[1]}", *budget)


def test_continuing_with_another_configuration_is_refused(nas, tmp_path):
    command = ["search", nas.config, "--run-dir", tmp_path / "run", "--resume", "--set", "budget.repeats=0"]
    nas(*command, "--set", "budget.evaluations=1")
    assert "seed: 3 -> 99" in refused(nas, *command, "--set", "seed=99", expect=3)


def test_a_place_that_cannot_be_written_is_an_error_without_a_traceback(nas, tmp_path):
    nas("search", nas.config, "--run-dir", tmp_path / "run", "--set", "budget={evaluations: 1, repeats: 0}")
    (tmp_path / "file").write_text("mine")
    refused(nas, "report", tmp_path / "run", "-o", tmp_path / "file" / "report.html", expect=1)
    refused(nas, "report", tmp_path / "run", "-o", tmp_path, expect=2)
    refused(nas, "export", tmp_path / "run", "--trial", "frontier", "-o", tmp_path / "file", expect=2)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_directory_in_use_is_refused_and_kept(nas, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "new or empty" in refused(nas, "search", nas.config, "--run-dir", tmp_path, expect=5)
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_that_is_no_run_is_refused_by_every_reader(nas, tmp_path):
    for command in (
        ["status"],
        ["pareto"],
        ["show"],
        ["export", "-o", "x.yaml"],
        ["report"],
        ["resume"],
        ["dashboard"],
    ):
        arguments = [command[0], tmp_path, *(["0"] if command == ["show"] else []), *command[1:]]
        assert "not a run directory" in refused(nas, *arguments, expect=5)


def test_a_pattern_with_an_unknown_letter_names_the_letters(nas, table):
    command = ["latency", "predict", "d f q f", "--hidden-size", 64, "--table", table]
    assert "unknown letter 'q'" in refused(nas, *command, expect=3)


def test_usage_errors_end_with_2(nas):
    assert nas("search", nas.config, expect=2).stderr.startswith("error: A search needs a folder")
    nas("serch", expect=2)
    nas("search", expect=2)


def test_a_dry_run_says_the_cost_and_leaves_nothing(nas, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = nas("search", nas.config, "--dry-run")
    assert "8 candidates and 1 repeats" in result.stdout
    assert "768 tokens each, 6,912 in all" in result.stdout
    assert "0 to be measured" in result.stdout
    assert list(tmp_path.iterdir()) == []
