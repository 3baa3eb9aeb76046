"""`nas proxy`: what stands in for final quality, and how far it can be trusted."""

import typer

from nas.cli.proxy import fidelity, probe, score

app = typer.Typer(
    help="Probe architectures by cheap stand-ins for final quality, and test the stand-ins.", no_args_is_help=True
)

app.command("probe")(probe.probe)
app.command("fidelity")(fidelity.fidelity)
app.command("score")(score.score)
