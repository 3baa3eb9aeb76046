import re
import subprocess
import sys

import pytest
import torch
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import CheckpointError, UsageError
from nas.winners.weights import save_model
from operators.model import HybridLM
from proxies.tokenizers import ByteTokenizer
from search_spaces import architecture_from_pattern
from search_spaces.errors import UnavailableError

SIZES = ["--hidden-size", "64", "--vocab-size"]


def generated(*arguments):
    return CliRunner().invoke(app, ["generate", "d f a f", *arguments])


def test_tokens_and_their_speed_come_out_apart():
    result = generated("--random-weights", *SIZES, "300", "--tokens", "12", "--prompt", "abc")
    assert result.exit_code == 0, result.output
    assert len(result.stdout.split()) == 12
    assert all(0 <= int(token) < 300 for token in result.stdout.split())
    assert re.search(
        r"3 prompt tokens and the first token in [\d.]+ ms, then 11 tokens at [\d.]+ tokens/s", result.stderr
    )


def test_bytes_are_shown_as_text():
    result = generated("--random-weights", *SIZES, "257", "--tokens", "12", "--temperature", "1")
    assert result.exit_code == 0, result.output
    assert not re.fullmatch(r"(\d+ )+\n", result.stdout)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model = HybridLM(architecture_from_pattern("d f a f", hidden_size=64, vocab_size=257), seed=3)
    save_model(folder, model, tokenizer=ByteTokenizer(), provenance={"origin": "random"})
    return folder


def test_a_checkpoint_writes_text_after_the_prompt(checkpoint):
    arguments = ["generate", str(checkpoint), "--prompt", "abc", "--tokens", "9", "--temperature", "1", "--ignore-end"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "3 prompt tokens" in result.stderr
    assert re.search(r"then 8 tokens at [\d.]+ tokens/s", result.stderr)
    assert result.stdout == CliRunner().invoke(app, arguments).stdout
    assert result.stdout != CliRunner().invoke(app, [*arguments, "--seed", "1"]).stdout


def test_the_end_of_a_document_is_said(checkpoint, monkeypatch):
    monkeypatch.setattr("latency.runtime.Decoder.stream", lambda *_, **__: (torch.tensor([n]) for n in (104, 256, 105)))
    result = CliRunner().invoke(app, ["generate", str(checkpoint)])
    assert result.stdout == "h\n"
    assert "--ignore-end" in result.stderr
    result = CliRunner().invoke(app, ["generate", str(checkpoint), "--tokens", "3", "--ignore-end"])
    assert result.stdout == "hi\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--random-weights"], "has its own"),
        (["--hidden-size", "64"], "a CKPT has its own"),
        (["--prompt", ""], "at least one token"),
        (["--prompt", "a\udcff"], "byte 2 of --prompt is not"),
    ],
)
def test_what_a_checkpoint_cannot_do_says_why(checkpoint, arguments, words):
    found = CliRunner().invoke(app, ["generate", str(checkpoint), *arguments]).exception
    assert isinstance(found, UsageError)
    assert words in str(found)


def test_a_folder_that_holds_no_model_says_what_makes_one(tmp_path):
    found = CliRunner().invoke(app, ["generate", str(tmp_path)]).exception
    assert isinstance(found, CheckpointError)
    assert "nas train" in str(found)


def test_generating_loads_nothing_that_a_bare_gpu_machine_has_not():
    code = "import sys, nas.winners.generation; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pydantic", "ray", "optuna", "pandas", "plotly", "lm_eval", "transformers"}
    assert not heavy & set(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ([], UsageError, "there is none at d f a f"),
        ([*SIZES, "300"], UsageError, "--random-weights"),
        (["--random-weights", *SIZES, "100"], UsageError, "a vocabulary of 257; got 1 byte"),
        (["--random-weights", *SIZES, "300", "--prompt", ""], UsageError, "at least one byte"),
        (["--random-weights", *SIZES, "300", "--prompt", "\udcff"], UsageError, "byte 1 of --prompt is not"),
        (["--random-weights", *SIZES, "300", "--device", "gpu"], UnavailableError, "must be cpu or cuda"),
    ],
)
def test_what_cannot_be_generated_says_why(arguments, error, words):
    found = generated(*arguments).exception
    assert isinstance(found, error)
    assert words in str(found)
