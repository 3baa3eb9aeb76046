"""`nas config`: check a configuration, show what it resolves to, print the schema."""

from typing import Annotated

import typer

from nas.cli.options import Overrides

app = typer.Typer(help="Check, show and explain configurations.", no_args_is_help=True)

Config = Annotated[
    str,
    typer.Argument(metavar="CONFIG", help="Configuration file, or the name of one that ships.", show_default=False),
]


@app.command()
def check(config: Config, overrides: Overrides = None) -> None:
    """Check a configuration and say so."""
    from nas.config import load_config

    loaded = load_config(config, overrides=tuple(overrides or ()))
    typer.echo(f"{config}: valid, {loaded.budget.evaluations} evaluations by {loaded.strategy.name}.")


@app.command()
def show(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="As for check; left out, lists what ships.")
    ] = None,
    overrides: Overrides = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Write presets and defaults out.")] = False,
) -> None:
    """Print a configuration, ready to be changed; or list those that ship."""
    from nas.config import configuration_names, configuration_text, load_config

    if config is None:
        typer.echo("\n".join(configuration_names()))
    elif resolved or overrides:
        typer.echo(load_config(config, overrides=tuple(overrides or ())).resolved().to_yaml(), nl=False)
    else:
        typer.echo(configuration_text(config), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON schema of configurations."""
    import json

    from nas.config import SearchConfig

    typer.echo(json.dumps(SearchConfig.model_json_schema(), indent=2))
