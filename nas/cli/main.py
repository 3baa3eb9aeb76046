"""The command `nas`: the commands by name, and what an error becomes."""

import sys

import typer

from nas.cli import (
    config_command,
    dashboard_command,
    data,
    doctor_command,
    eval_command,
    export_command,
    generate_command,
    import_command,
    latency,
    pareto_command,
    proxy,
    report_command,
    resume_command,
    scaling,
    search_command,
    show_command,
    status_command,
    study_command,
    submit_command,
    train_command,
)
from search_spaces.errors import NasError

app = typer.Typer(
    name="nas",
    help="Find the hybrid small language model that is fastest on your own GPU at the quality you need.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("search")(search_command.search)
app.command("submit")(submit_command.submit)
app.command("resume")(resume_command.resume)
app.command("status")(status_command.status)
app.command("pareto")(pareto_command.pareto)
app.command("show")(show_command.show)
app.command("train")(train_command.train)
app.command("export")(export_command.export)
app.command("import")(import_command.import_model)
app.command("eval")(eval_command.evaluate)
app.command("generate")(generate_command.generate)
app.command("report")(report_command.report)
app.command("dashboard")(dashboard_command.dashboard)
app.add_typer(latency.app, name="latency")
app.add_typer(scaling.app, name="scaling")
app.add_typer(data.app, name="data")
app.add_typer(proxy.app, name="proxy")
app.add_typer(study_command.app, name="study")
app.add_typer(config_command.app, name="config")
app.command("doctor")(doctor_command.doctor)


def main() -> None:
    """Run the command line; an error of ours becomes one message and its exit code."""
    try:
        app()
    except NasError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        # A full disk, a folder that may not be written to: the user's to mend, and no place in our code.
        typer.echo(f"error: {error.strerror or error}: {error.filename or 'no file named'}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
