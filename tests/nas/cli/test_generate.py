import re

import pytest
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import UsageError
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


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ([*SIZES, "300"], UsageError, "--random-weights"),
        (["--random-weights", *SIZES, "100"], UsageError, "a vocabulary of 257; got 1 byte"),
        (["--random-weights", *SIZES, "300", "--prompt", ""], UsageError, "at least one byte"),
        (["--random-weights", *SIZES, "300", "--device", "gpu"], UnavailableError, "must be cpu or cuda"),
    ],
)
def test_what_cannot_be_generated_says_why(arguments, error, words):
    found = generated(*arguments).exception
    assert isinstance(found, error)
    assert words in str(found)
