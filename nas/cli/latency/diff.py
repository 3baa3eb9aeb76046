"""`nas latency diff`: what changed between two tables."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Json

SHOWN = 20


def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A table.", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Another one.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Compare the rows two tables share: the largest changes first, those beyond both rows' noise marked."""
    import json

    from latency.table import LatencyTable
    from latency.table_difference import difference
    from nas.cli.text_table import text_table

    found = difference(LatencyTable.load(before), LatencyTable.load(after))
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
        return
    for name, (old, new) in found.fingerprints.items():
        typer.echo(f"{name}: {old} against {new}")
    typer.echo(
        f"{len(found.changes)} rows in both, {len(found.only_before)} only before, {len(found.only_after)} only after"
    )
    if not found.changes:
        return
    typer.echo(f"median ratio after/before {found.median_ratio:.3f}, {found.num_beyond_noise} rows beyond noise\n")
    rows = [
        [
            change.key.describe(),
            f"{change.before_us:.1f}",
            f"{change.after_us:.1f}",
            f"{change.ratio:.2f}",
            "yes" if change.is_beyond_noise else "",
        ]
        for change in found.changes[:SHOWN]
    ]
    headers = ["row", "before µs", "after µs", "ratio", "beyond noise"]
    typer.echo(text_table(headers, rows, right=[False, True, True, True, False]))
