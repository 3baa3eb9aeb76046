"""`nas data info`: what a folder of shards holds and where it comes from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nas.cli.data.options import Shards
from nas.cli.options import Json

if TYPE_CHECKING:
    from proxies.shard_manifest import Manifest


def info(directory: Shards, as_json: Json = False) -> None:
    """Print the source, the tokenizer and the counts of a folder of shards, after a look at the sizes of its files."""
    import json

    from proxies.shards import open_shards

    manifest = open_shards(directory).manifest
    typer.echo(json.dumps(summary(directory, manifest), indent=2) if as_json else describe(directory, manifest))


def summary(folder: Path, manifest: "Manifest") -> dict[str, Any]:
    """Return the manifest, JSON-ready, with the folder and without the single files."""
    from dataclasses import asdict

    content = asdict(manifest)
    for side in ("train", "validation"):
        content[side]["shards"] = len(content[side]["shards"])
    return {"folder": str(folder), **content}


def describe(folder: Path, manifest: "Manifest") -> str:
    """Return the same in words."""
    from nas.cli.text_table import text_table

    tokenizer = manifest.tokenizer
    digest = f", sha256 {tokenizer['sha256'][:12]}" if "sha256" in tokenizer else ""
    rows = [
        [
            name,
            f"{side.documents:,}",
            f"{side.tokens:,}",
            f"{side.bytes:,}",
            f"{side.bytes / side.tokens:.2f}",
            str(len(side.shards)),
            side.sha256[:12],
        ]
        for name, side in (("train", manifest.train), ("validation", manifest.validation))
    ]
    headers = ["", "documents", "tokens", "bytes", "bytes/token", "files", "sha256 of text"]
    lines = [
        f"folder      {folder}",
        f"source      {manifest.source}",
        f"tokenizer   {tokenizer['name']}, {tokenizer['vocab_size']:,} tokens{digest}; {manifest.dtype}",
        f"duplicates  {manifest.duplicates:,} left out",
        "",
        text_table(headers, rows, right=[False, True, True, True, True, True, False]),
    ]
    return "\n".join(lines)
