"""`nas doctor`: what this machine and this installation can do."""

import typer

from nas.cli.options import Json


def doctor(as_json: Json = False) -> None:
    """Show the machine, versions, devices, and which optional packages are missing."""
    import json

    from nas.doctor import diagnose

    findings = diagnose()
    if as_json:
        typer.echo(json.dumps(findings, indent=2))
        return
    for section, entries in findings.items():
        typer.echo(section)
        width = max(map(len, entries))
        for name, words in entries.items():
            typer.echo(f"  {name:<{width}}  {words}")
