"""`nas scaling recommend`: the depth and width with the least predicted perplexity at each latency budget."""

from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import Json, RunDir

if TYPE_CHECKING:
    from nas.scaling.recommendation import Recommendation


def recommend(
    directory: RunDir,
    budget_ms: Annotated[
        list[float] | None, typer.Option("--budget-ms", metavar="X", help="Latency budget; may be repeated.")
    ] = None,
    budgets: Annotated[
        str | None, typer.Option("--budgets", metavar="FROM:TO:COUNT", help="Budgets in milliseconds, evenly by ratio.")
    ] = None,
    depths: Annotated[
        str | None,
        typer.Option("--depths", metavar="2,4|FROM:TO:STEP", help="To choose from; else all between those trained."),
    ] = None,
    widths: Annotated[
        str | None,
        typer.Option("--widths", metavar="64,80|FROM:TO:STEP", help="To choose from; else all the table prices."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the best depth and width for every budget, as the run's latency table prices them."""
    import json

    from nas.cli.scaling import numbers
    from nas.errors import UsageError
    from nas.run import Run
    from nas.scaling.recommendation import measured_widths, price
    from nas.scaling.recommendation import recommend as recommend_settings
    from nas.scaling.study import ScalingStudy
    from search_spaces import DepthWidthSpace

    asked_ms = numbers.budgets(budget_ms, budgets)
    run = Run(directory)
    study = ScalingStudy.load(directory)
    if not isinstance(run.space, DepthWidthSpace):
        raise UsageError(
            f"Depth and width alone do not price a model of {run.config.name}: its operators differ. "
            "Take a candidate of it with `nas pareto`, or train a grid with `nas scaling fit CONFIG`."
        )
    table, workload = run.table(), run.config.latency.workload
    trained = [point.depth for point in study.points]
    prices = price(
        run.space,
        depths=numbers.whole_numbers(depths, option="--depths") or range(min(trained), max(trained) + 1),
        widths=numbers.whole_numbers(widths, option="--widths")
        or measured_widths(run.space, table=table, workload=workload),
        table=table,
        workload=workload,
    )
    found = recommend_settings(
        study.fitted, prices.settings, budgets_ms=asked_ms, points=study.points, tokens=study.points[-1].tokens
    )
    unpriced = list(prices.unpriced_widths)
    typer.echo(
        json.dumps(
            {
                "recommendations": [one.to_dict() for one in found],
                "num_priced": len(prices.settings),
                "num_left_out": prices.num_left_out,
                "unpriced_widths": unpriced,
                "caveats": list(study.caveats),
            },
            indent=2,
        )
        if as_json
        else _in_words(found)
    )
    if unpriced:
        listed = ",".join(map(str, unpriced))
        typer.echo(
            f"{prices.num_left_out} of {prices.num_left_out + len(prices.settings)} settings were left out: the table "
            f"does not price the widths {listed}. Measure them with: nas scaling fit {directory} --recommend-widths "
            f"{listed}\nor by hand. {prices.reason}",
            err=True,
        )
    for caveat in study.caveats:
        typer.echo(f"note: {caveat}", err=True)


def _in_words(found: "list[Recommendation]") -> str:
    from nas.cli.text_table import text_table

    rows = [
        [
            f"{one.budget_ms:.4g}",
            str(one.setting.depth),
            str(one.setting.width),
            f"{one.depth_to_width:.4f}",
            f"{one.setting.latency_ms:.4g}",
            f"{one.perplexity:.4g}",
            f"{one.interval[0]:.4g} to {one.interval[1]:.4g}",
            f"{100 * one.share_of_draws:.0f} %",
            f"{one.depths_chosen[0]} to {one.depths_chosen[1]}",
            one.beyond or "inside",
        ]
        for one in found
    ]
    headers = [
        "budget ms",
        "depth",
        "width",
        "depth/width",
        "latency ms",
        "perplexity",
        "90 % interval",
        "draws agree",
        "depths of 90 %",
        "fitted range",
    ]
    return text_table(headers, rows, right=[True] * 6 + [False, True, False, False])
