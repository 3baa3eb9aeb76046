import json

import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import CheckpointError, UsageError
from nas.winners.weights import save_model
from operators.model import HybridLM
from proxies.errors import DataError
from proxies.tokenizers import ByteTokenizer
from search_spaces import architecture_from_pattern

TASK = """
task: {name}
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
def folder(tmp_path_factory):
    """A checkpoint, a text and two tasks, one of which stands in for a published one."""
    folder = tmp_path_factory.mktemp("eval")
    model = HybridLM(architecture_from_pattern("d f a", hidden_size=64, vocab_size=257), seed=0)
    (folder / "model").mkdir()
    save_model(folder / "model", model, tokenizer=ByteTokenizer(), provenance={"origin": "random"})
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog; " * 40)
    (folder / "tasks").mkdir()
    (folder / "questions.jsonl").write_text('{"question": "Is it?"}\n{"question": "Was it?"}\n')
    for name, data in (("hellaswag", "questions.jsonl"), ("lost", "lost.jsonl")):
        (folder / "tasks" / f"{name}.yaml").write_text(TASK.format(name=name, data=folder / data))
    return folder


@pytest.fixture
def evaluated(folder):
    def run(*arguments, checkpoint="model"):
        return CliRunner().invoke(app, ["eval", str(folder / checkpoint), *map(str, arguments)])

    return run


def test_everything_asked_for_comes_out_as_one_document(folder, evaluated):
    result = evaluated(
        "--data", f"file:{folder}/text.txt", "--sequence-tokens", 32, "--recall", "needle", "--lengths", "128,200",
        "--prompts", 2, "--tasks", "hellaswag", "--task-folder", folder / "tasks", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["text"]["perplexity"] > 1
    assert document["text"]["bits_per_byte"] > 0
    assert [score["length_tokens"] for score in document["recall"]] == [128, 200]
    (task,) = document["tasks"]
    assert (task["task"], task["questions"]) == ("hellaswag", 2)
    assert {one["model"] for one in document["published"]} >= {"smollm2-1.7b"}


def test_tables_stand_beside_what_others_published(folder, evaluated):
    result = evaluated(
        "--tasks", "hellaswag", "--task-folder", folder / "tasks", "--recall", "copying", "--lengths", 99
    )
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.startswith("copying") for line in lines)
    assert any(line.startswith("hellaswag") for line in lines)
    assert any(line.startswith("smollm2-1.7b") and "68.7" in line for line in lines)


def test_overlapping_windows_and_a_few_tokens_are_said(folder, evaluated):
    result = evaluated("--data", f"file:{folder}/text.txt", "--split", "all", "--sequence-tokens", 32, "--stride", 8,
                       "--max-tokens", 80)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "windows of 32 by 8" in result.stdout
    assert "bits per byte" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["--tasks", "helaswag"], UsageError, "'hellaswag'"),
        (["--tasks", "lost"], DataError, "'lost' cannot be prepared"),
        (["--recall", "needles"], UsageError, "Did you mean 'needle'"),
        (["--recall", "needle", "--lengths", "x"], UsageError, "--lengths takes"),
        (["--data", "file:nowhere.txt"], DataError, r"nowhere\.txt"),
        (["--data", "stdlib", "--sequence-tokens", "8", "--stride", "9"], UsageError, "--stride"),
        (["--tokenizer", "nowhere.json"], DataError, r"nowhere\.json"),
    ],
)
def test_what_cannot_be_evaluated_says_why(folder, evaluated, arguments, error, words):
    found = evaluated(*arguments, "--task-folder", folder / "tasks").exception
    assert isinstance(found, error)
    with pytest.raises(error, match=words):
        raise found


def test_a_checkpoint_that_is_not_whole_says_so(folder, evaluated):
    (folder / "half").mkdir(exist_ok=True)
    (folder / "half" / "model.safetensors").write_bytes((folder / "model" / "model.safetensors").read_bytes()[:99])
    found = evaluated(checkpoint="half").exception
    assert isinstance(found, CheckpointError)
    assert "nas train" in str(found)
    (folder / "half" / "model.json").write_text((folder / "model" / "model.json").read_text())
    found = evaluated(checkpoint="half").exception
    assert isinstance(found, CheckpointError)
    assert "cannot be read" in str(found)
