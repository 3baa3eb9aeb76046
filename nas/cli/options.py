"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

RunDir = Annotated[Path, typer.Argument(metavar="DIR", help="Run directory of a search.", show_default=False)]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Override one field of the configuration; may be repeated."),
]

ExecutorName = Annotated[
    str | None, typer.Option("--executor", metavar="ray|inprocess", help="Where candidates are evaluated.")
]

Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="local|auto|HOST:PORT",
        help="Ray cluster: start one here, join the one running here, or join another.",
    ),
]


def with_resources(overrides: list[str] | None, *, executor: str | None, address: str | None) -> tuple[str, ...]:
    """Return the overrides with `--executor` and `--address` among them."""
    given = list(overrides or [])
    if executor is not None:
        given.append(f"resources.executor={executor}")
    if address is not None:
        given.append(f"resources.address={address}")
    return tuple(given)
