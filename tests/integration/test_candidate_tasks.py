"""Candidates of a real search on a task: trained again, kept, evaluated, and printed beside their perplexity."""

import json

import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import CheckpointError, UsageError
from nas.run import Run
from nas.winners.evaluation.candidates import read_candidate_tasks

pytestmark = pytest.mark.slow

TASK = """
task: answers
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_target: 0
doc_to_choice: ["yes", "no"]
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "questions.jsonl").write_text('{"question": "Is it? "}\n{"question": "Was it? "}\n')
    for name in ("answers", "others"):
        definition = TASK.format(data=folder / "questions.jsonl").replace("task: answers", f"task: {name}")
        (folder / f"{name}.yaml").write_text(definition)
    return folder


@pytest.fixture(scope="module")
def searched(nas_without_table, tmp_path_factory):
    path = tmp_path_factory.mktemp("candidates") / "run"
    workload = "latency.workload={phase: decode, generated_tokens: 2}"
    settings = (workload, "latency.validation_models=2", "budget.evaluations=4", "budget.repeats=1")
    chosen = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(app, ["search", str(nas_without_table.config), "--run-dir", str(path), *chosen])
    assert result.exit_code == 0, result.output
    return path


def score(path, tasks, *arguments):
    return CliRunner().invoke(app, ["proxy", "score", str(path), "--task-folder", str(tasks), *map(str, arguments)])


@pytest.fixture(scope="module")
def scored(searched, tasks):
    result = score(searched, tasks, "--tasks", "answers", "--json")
    assert result.exit_code == 0, result.output
    return result


def test_every_candidate_of_the_frontier_is_trained_again_to_the_bit(searched, scored):
    trials = json.loads(scored.stdout)["trials"]
    own = {record.number: record.objectives["perplexity"] for record in Run(searched).study.history()}
    assert {trial["trial"] for trial in trials} == {
        record.number for record in Run(searched).study.history().frontier()
    }
    for trial in trials:
        assert trial["trained_perplexity"] == trial["perplexity"] == own[trial["trial"]]
        assert [(task["task"], task["questions"]) for task in trial["tasks"]] == [("answers", 2)]
    assert "trained again" not in scored.stderr


def test_the_model_stays_in_the_run_and_is_a_checkpoint_like_any_other(searched, scored, tasks):
    trial = json.loads(scored.stdout)["trials"][0]
    folder = searched / "trials" / str(trial["trial"])
    arguments = ["eval", str(folder / "model"), "--tasks", "answers", "--task-folder", str(tasks), "--json"]
    (task,) = json.loads(CliRunner().invoke(app, arguments).stdout)["tasks"]
    assert task == trial["tasks"][0]


def test_further_tasks_train_nothing_and_join_the_earlier_ones(searched, scored, tasks):
    number = json.loads(scored.stdout)["trials"][0]["trial"]
    weights = searched / "trials" / str(number) / "model" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    printed = score(searched, tasks, "--tasks", "others", "--trial", number)
    assert weights.stat().st_mtime_ns == before
    assert printed.stdout.splitlines()[0].split() == ["trial", "perplexity", "others", "operators"]
    assert [task.task for task in read_candidate_tasks(Run(searched), number)] == ["answers", "others"]


def test_a_folder_with_another_model_is_not_taken_for_the_trial_s(searched, scored, tasks):
    number = json.loads(scored.stdout)["trials"][0]["trial"]
    path = searched / "trials" / str(number) / "model" / "model.json"
    content = path.read_text()
    path.write_text(content.replace('"fingerprint": "', '"fingerprint": "x'))
    found = score(searched, tasks, "--tasks", "answers", "--trial", number).exception
    assert isinstance(found, CheckpointError)
    assert "holds another" in str(found)
    path.write_text(content)


def test_an_unknown_task_is_told_before_anything_is_trained(searched, tasks):
    found = score(searched, tasks, "--tasks", "anwers", "--trial", "best").exception
    assert isinstance(found, UsageError)
    assert "Did you mean 'answers'" in str(found)
