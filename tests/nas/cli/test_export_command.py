import json
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import CheckpointError, ExportError, RunDirectoryError, UsageError
from nas.export.spec import document, spec_text
from nas.winners.weights import save_model
from operators.model import HybridLM
from proxies.tokenizers import ByteTokenizer
from search_spaces import Architecture, SpecError, architecture_from_pattern

PATTERN = ["d f a f", "--hidden-size", "64", "--vocab-size", "257"]
DRAWN = ["--format", "hf", "--random-weights", "--no-check"]


def exported(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def refused(error, *arguments):
    result = exported(*arguments)
    assert isinstance(result.exception, error), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "winner"
    folder.mkdir()
    model = HybridLM(architecture_from_pattern("gd m1 w f", hidden_size=64, vocab_size=257), seed=5)
    save_model(folder, model, tokenizer=ByteTokenizer(), provenance={"origin": "training", "step": 7})
    return folder


def test_a_checkpoint_leaves_with_its_weights_tokenizer_and_origin_and_is_proven(checkpoint, tmp_path):
    result = exported(checkpoint, "--format", "hf", "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    [entry] = json.loads(result.stdout)
    assert entry["difference"] < 1e-5
    assert "transformers" in entry["serve_commands"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "README.md", "config.json", "generation_config.json", "hybridnas.json", "model.safetensors",
        "modeling_hybridnas.py", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Untrained" not in card
    assert "| weights.step | 7 |" in card
    assert "(relative RMS" in card
    assert 'AutoTokenizer.from_pretrained("out", trust_remote_code=True)' in card
    mode = (tmp_path / "out" / "model.safetensors").stat().st_mode
    assert mode == (tmp_path / "out" / "README.md").stat().st_mode
    assert entry["serve_commands"]["transformers"] == f"transformers serve {tmp_path / 'out'} --trust-remote-code"
    assert json.loads((tmp_path / "out" / "hybridnas.json").read_text())["provenance"]["weights"]["step"] == 7


def test_random_weights_are_said_to_be_random(tmp_path):
    result = exported(*PATTERN, *DRAWN, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    card = (tmp_path / "out" / "README.md").read_text()
    assert "**Untrained.**" in card
    assert "Not checked: left out by --no-check." in card
    assert "found by" not in card
    assert "AutoTokenizer" not in card
    assert "No tokenizer" in card
    assert result.stdout.splitlines() == [str(tmp_path / "out")]


def test_a_format_with_weights_refuses_what_nobody_trained_and_says_both_ways_out(tmp_path):
    message = refused(UsageError, *PATTERN, "--format", "hf", "-o", tmp_path / "out")
    assert "nas train" in message
    assert "--random-weights" in message
    assert not any(tmp_path.iterdir())


def test_an_architecture_that_does_not_fit_is_refused_with_every_obstacle(tmp_path):
    pattern = ["fla:gla f fla:kda", *PATTERN[1:]]
    message = refused(ExportError, *pattern, *DRAWN, "-o", tmp_path / "out")
    assert "operator 0 is fla:gla" in message
    assert "operator 2 is fla:kda" in message
    assert message.count("leave fla layers out of the space") == 2
    assert "1 of 1" not in message
    assert ExportError.exit_code == 1
    assert not any(tmp_path.iterdir())


def test_an_export_is_replaced_by_force_only_and_nothing_else_ever(tmp_path):
    out = tmp_path / "out"
    assert exported(*PATTERN, *DRAWN, "-o", out).exit_code == 0
    before = (out / "config.json").read_text()
    assert "--force" in refused(RunDirectoryError, "a f", *PATTERN[1:], *DRAWN, "-o", out)
    assert (out / "config.json").read_text() == before
    assert exported("a f", *PATTERN[1:], *DRAWN, "-o", out, "--force").exit_code == 0
    assert (out / "config.json").read_text() != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters.txt").write_text("dear")
    assert "no export wrote" in refused(RunDirectoryError, *PATTERN, *DRAWN, "-o", tmp_path / "mine", "--force")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine", "out"]


def test_a_failed_export_leaves_nothing_and_keeps_what_was_there(checkpoint, tmp_path):
    out = tmp_path / "out"
    assert exported(*PATTERN, *DRAWN, "-o", out).exit_code == 0
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.json").write_text((checkpoint / "model.json").read_text())
    (broken / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes()[:-1000])
    refused(CheckpointError, broken, "--format", "hf", "-o", out, "--force")
    refused(CheckpointError, broken, "--format", "hf", "-o", tmp_path / "new")
    assert "**Untrained.**" in (out / "README.md").read_text()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["broken", "out"]


@pytest.mark.parametrize("name", ["spec.yaml", "spec.json"])
def test_a_spec_is_yaml_or_json_by_its_name_and_is_read_as_an_architecture(checkpoint, name, tmp_path):
    assert exported(checkpoint, "-o", tmp_path / name).exit_code == 0
    text = (tmp_path / name).read_text()
    content = json.loads(text) if name.endswith("json") else yaml.safe_load(text)
    assert content["provenance"]["weights"] == {"origin": "training", "step": 7}
    assert exported(tmp_path / name, "-o", tmp_path / "again.json").exit_code == 0
    again = json.loads((tmp_path / "again.json").read_text())["architecture"]
    assert Architecture.from_dict(again) == Architecture.from_dict(content["architecture"])


def test_a_specification_keeps_what_it_says_of_its_architecture_until_that_is_changed(tmp_path):
    architecture = architecture_from_pattern("d f", hidden_size=64, vocab_size=257)
    provenance = {
        "search": "mine",
        "trial": 4,
        "fingerprint": architecture.fingerprint(),
        "scores": {"perplexity": 7.5},
    }
    file = tmp_path / "best.yaml"
    file.write_text(spec_text(document(architecture, provenance), as_json=False))
    assert exported(file, *DRAWN, "-o", tmp_path / "out").exit_code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert "found by HybridNAS" in card
    assert "| Perplexity of the short training in the search | 7.5 |" in card
    changed = architecture_from_pattern("d f d", hidden_size=64, vocab_size=257)
    file.write_text(spec_text(document(changed, provenance), as_json=False))
    assert exported(file, *DRAWN, "-o", tmp_path / "out", "--force").exit_code == 0
    assert "Perplexity" not in (tmp_path / "out" / "README.md").read_text()


def test_a_folder_of_any_name_has_a_card_whose_commands_can_be_copied(tmp_path):
    out = tmp_path / 'mo"dèle ☃ 1'
    assert exported(*PATTERN, *DRAWN, "-o", out).exit_code == 0
    card = (out / "README.md").read_text()
    assert """from_pretrained("mo\\"dèle ☃ 1", trust_remote_code=True)""" in card
    assert "transformers serve 'mo\"dèle ☃ 1' --trust-remote-code" in card


def test_a_folder_that_needs_no_code_of_its_own_does_not_ask_for_trust(tmp_path):
    pattern = ["m2 a m2", *PATTERN[1:]]
    result = exported(*pattern, "--format", "nemotron-h", *DRAWN[2:], "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    card = (tmp_path / "out" / "README.md").read_text()
    assert 'AutoModelForCausalLM.from_pretrained("out")' in card
    assert "No other engine ran." in card


def test_a_full_disk_is_an_error_without_a_traceback_and_leaves_nothing(tmp_path):
    limited = f"ulimit -f 100; exec {sys.executable} -m nas.cli.main export '{PATTERN[0]}' {' '.join(PATTERN[1:])}"
    command = f"{limited} {' '.join(DRAWN)} -o {tmp_path / 'out'}"
    finished = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert "File too large" in finished.stderr
    assert not any(tmp_path.iterdir())


def test_questions_that_mean_nothing_are_usage_errors(checkpoint, tmp_path):
    out = tmp_path / "out"
    assert "Did you mean 'hf'" in refused(UsageError, *PATTERN, "--format", "hff", "-o", out)
    assert "is one model" in refused(UsageError, checkpoint, "--trial", "best", "-o", out)
    assert "holds weights" in refused(UsageError, checkpoint, *DRAWN, "-o", out)
    assert "holds no weights" in refused(UsageError, *PATTERN, "--random-weights", "-o", out)
    assert "whole studies" in refused(UsageError, *PATTERN, "--format", "csv", "-o", out)
    assert "neither a reference nor a file" in refused(UsageError, "llama-9", "-o", out)
    assert "is a folder" in refused(UsageError, *PATTERN, "-o", tmp_path)
    assert "not a run directory" in refused(RunDirectoryError, tmp_path, "-o", out)
    assert refused(SpecError, "q", *PATTERN[1:], "-o", out)
    (tmp_path / "config.json").write_text("{}")
    assert "nas import" in refused(UsageError, tmp_path, "-o", out)
    (tmp_path / "config.json").unlink()
    assert not any(tmp_path.iterdir())
