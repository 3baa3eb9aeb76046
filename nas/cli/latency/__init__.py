"""`nas latency`: measure operators on a device, predict whole models, check the table against them.

Needs no pydantic: these commands also run on a bare GPU machine.
"""

import typer

from nas.cli.latency import diff, list_tables, merge, predict, profile, validate, verify

app = typer.Typer(help="Measure, predict, check and list latencies.", no_args_is_help=True)
app.command("profile")(profile.profile)
app.command("predict")(predict.predict)
app.command("validate")(validate.validate)
app.command("verify")(verify.verify)
app.command("list")(list_tables.list_tables)
app.command("diff")(diff.diff)
app.command("merge")(merge.merge)
