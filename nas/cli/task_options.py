"""Options of commands that ask a model tasks of lm-evaluation-harness, or read a model with its tokenizer."""

from pathlib import Path
from typing import Annotated

import typer

TaskFolder = Annotated[
    Path | None, typer.Option("--task-folder", metavar="DIR", help="Tasks of your own, as YAML files.")
]

Shots = Annotated[
    int | None,
    typer.Option("--shots", min=0, help="Examples before each question; as set or task says if left out."),
]

Limit = Annotated[int | None, typer.Option("--limit", min=1, help="First questions of each task.")]

RunCode = Annotated[
    bool, typer.Option("--run-code", help="Let tasks of coding run what the model writes, without a sandbox.")
]

ContextTokens = Annotated[
    int, typer.Option("--context-tokens", min=2, help="Tokens of a task's prompt the model sees at most.")
]

OwnTokenizer = Annotated[
    str | None,
    typer.Option(
        "--tokenizer", metavar="NAME", help="bytes, a tokenizer.json or hf:NAME, for a CKPT that came without."
    ),
]


def names_in(text: str) -> list[str]:
    """Return the names of a list with commas."""
    return [name.strip() for name in text.split(",")]
