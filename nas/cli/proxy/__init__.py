"""`nas proxy`: what stands in for final quality, for one architecture at a time."""

import typer

from nas.cli.proxy import probe

app = typer.Typer(help="Probe architectures by cheap stand-ins for final quality.", no_args_is_help=True)


@app.callback()
def _several_commands() -> None:
    """Keep the command's name in front even while there is only one."""


app.command("probe")(probe.probe)
