"""`nas data verify`: whether shards are what was written."""

import typer

from nas.cli.data.options import Shards


def verify(directory: Shards) -> None:
    """Read every file of a folder of shards and compare it with the manifest, bit for bit."""
    from proxies.shards import verify_shards

    num_files = verify_shards(directory)
    typer.echo(f"{num_files} files are as they were written: {directory}")
