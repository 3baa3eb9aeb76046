"""`nas latency list`: the tables there are."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Json


def list_tables(
    places: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE|DIR]…", help="Tables or folders of them; left out, those that ship."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List latency tables: device, rows, date, whether validated."""
    import json

    from latency.table import LatencyTable
    from latency.table_file import TableFileError
    from latency.validation import validations_of
    from nas.cli.text_table import text_table

    tables = []
    for path in _table_paths(places):
        try:
            table = LatencyTable.load(path)
        except TableFileError as error:
            if places and path in places:
                raise
            typer.echo(f"skipped: {error}", err=True)
            continue
        tables.append(
            {
                "table": str(path),
                "device": table.fingerprint.describe(),
                "rows": len(table.measured),
                "failed": len(table.failed),
                "measured": table.fingerprint.date[:10],
                "validated": "; ".join(found.describe() for found in validations_of(table.metadata)) or "never",
            }
        )
    if as_json:
        typer.echo(json.dumps(tables, indent=2))
    elif tables:
        cells = [[str(value) for value in entry.values()] for entry in tables]
        typer.echo(text_table(list(tables[0]), cells, right=[False, False, True, True, False, False]))
    else:
        typer.echo("No latency tables. Measure one with `nas latency profile`.", err=True)


def _table_paths(places: list[Path] | None) -> list[Path]:
    from importlib.resources import files

    shipped = Path(str(files("latency") / "tables"))
    folders = places or ([shipped] if shipped.is_dir() else [])
    return [path for place in folders for path in (sorted(place.glob("*.parquet")) if place.is_dir() else [place])]
