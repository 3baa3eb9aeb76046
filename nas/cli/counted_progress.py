"""How far something is that can be counted: one line, rewritten, and only on a terminal."""

import sys

import typer


def tell(what: str, done: int, total: int) -> None:
    """Say that `done` of `total` are done; the line is gone when all are."""
    if not sys.stderr.isatty():
        return
    typer.echo(f"\r\x1b[K{what} {done}/{total}", nl=False, err=True)
    if done >= total:
        typer.echo("\r\x1b[K", nl=False, err=True)
