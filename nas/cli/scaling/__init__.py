"""`nas scaling`: fit the law over depth and width, and take from it the best of both at a latency [NF 2.1]."""

import typer

from nas.cli.scaling import fit, recommend

app = typer.Typer(help="Fit a scaling law over depth and width, and choose both by it.", no_args_is_help=True)
app.command("fit")(fit.fit)
app.command("recommend")(recommend.recommend)
