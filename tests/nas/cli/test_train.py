import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import ConfigError, RunDirectoryError, UsageError
from proxies.errors import DataError
from search_spaces import SpecError

RECIPE = """
name: small
data: {source}
batch_size: 2
learning_rate: 3e-3
warmup_fraction: 0.1
ema_decay: 0.9
log_every: 1
stages:
  - {{tokens: 2560, sequence_tokens: 32}}
  - {{tokens: 2560, sequence_tokens: 64}}
validation: {{sequences: 4}}
checkpoints: {{every_minutes: null, every_steps: 7}}
"""

MODEL = ["d f", "--hidden-size", "64"]


@pytest.fixture
def recipe(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"{number} and {number} make {2 * number}. " for number in range(400)))
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE.format(source=f"file:{text}"))
    return str(path)


def nas(*arguments):
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def kill(pid, number, *, folder, steps):
    """Send a signal once so many steps are logged."""
    log = folder / "log.jsonl"
    while not log.exists() or log.read_text().count("\n") < steps:
        time.sleep(0.01)
    os.kill(pid, number)


def losses(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.mark.slow
def test_killed_then_interrupted_a_training_ends_as_if_nothing_had_happened(recipe, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert nas(*MODEL, "--recipe", recipe, "-o", whole).exit_code == 0
    command = [sys.executable, "-m", "nas.cli.main", "train", *MODEL, "--recipe", recipe, "-o", str(parts)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        kill(process.pid, signal.SIGKILL, folder=parts, steps=17)
    assert process.returncode == -signal.SIGKILL
    Thread(target=kill, args=(os.getpid(), signal.SIGTERM), kwargs={"folder": parts, "steps": 25}).start()
    interrupted = nas("--resume", "-o", parts)
    assert interrupted.exit_code == 75, interrupted.output
    assert f"continue with: nas train --resume -o {parts}" in interrupted.stderr
    result = nas("--resume", "-o", parts, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["status"] == "finished"
    assert document["tokens"] == 5_120
    assert Path(document["checkpoint"]) == parts / "checkpoints" / "step-60"
    assert losses(parts) == losses(whole)
    assert len(losses(whole)) == 60


def test_a_training_shows_its_scores_and_its_checkpoint(recipe, tmp_path):
    options = ["--recipe", recipe, "-o", tmp_path / "one", "--set", "stages=[{tokens: 640, sequence_tokens: 32}]"]
    result = nas(*MODEL, *options)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        "validation_loss",
        "perplexity",
        "bits_per_byte",
        "checkpoint",
    ]
    assert "training 10 steps, 640 tokens" in result.stderr
    assert "step 10/10: loss" in result.stderr
    assert "tokens/s" in result.stderr
    assert isinstance(nas(*MODEL, *options).exception, RunDirectoryError)
    # What was trained is an architecture for every command.
    again = nas(tmp_path / "one" / "architecture.yaml", *options[:2], "-o", tmp_path / "two", *options[4:])
    assert again.stdout.splitlines()[:3] == result.stdout.splitlines()[:3]
    wider = ["--vocab-size", "300", *options[:2], "-o", tmp_path / "three", *options[4:]]
    assert nas(tmp_path / "one" / "architecture.yaml", *wider).exit_code == 0
    assert "vocab_size: 300" in (tmp_path / "three" / "architecture.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ([*MODEL, "--recipe", "quick-cpu"], UsageError, "--output"),
        ([*MODEL, "-o", "{out}"], UsageError, "These ship: nemotron-flash, quick-cpu"),
        (["-o", "{out}", "--recipe", "quick-cpu"], UsageError, "Name what to train"),
        (["--resume", "-o", "{out}"], UsageError, "There is no training in"),
        (["d f", "-o", "{out}", "--recipe", "quick-cpu"], UsageError, "needs --hidden-size"),
        ([*MODEL, "-o", "{out}", "--recipe", "quick-cpu", "--trial", "best"], UsageError, "run directory of a search"),
        ([*MODEL, "-o", "{out}", "--recipe", "quik-cpu"], ConfigError, "Did you mean 'quick-cpu'"),
        ([*MODEL, "-o", "{out}", "--recipe", "quick-cpu", "--set", "optimiser=adam"], ConfigError, "'optimizer'"),
        ([*MODEL, "-o", "{out}", "--recipe", "nemotron-flash"], DataError, "data"),
        (["d q", "--hidden-size", "64", "-o", "{out}", "--recipe", "quick-cpu"], SpecError, "q"),
        ([*MODEL, "--vocab-size", "100", "-o", "{out}", "--recipe", "{recipe}"], DataError, "--vocab-size 257"),
    ],
)
def test_what_cannot_be_trained_says_why(arguments, error, words, recipe, tmp_path):
    found = nas(*(argument.format(out=tmp_path / "out", recipe=recipe) for argument in arguments)).exception
    assert isinstance(found, error), found
    assert words in str(found)


def test_another_process_keeps_out(recipe, tmp_path):
    from nas.winners.training_directory import TrainingDirectory

    out = tmp_path / "one"
    out.mkdir()
    with TrainingDirectory(out).lock:
        found = nas(*MODEL, "--recipe", recipe, "-o", out).exception
    assert isinstance(found, RunDirectoryError)
    assert "One training at a time" in str(found)
