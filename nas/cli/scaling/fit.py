"""`nas scaling fit`: train a grid of depths and widths, or take a run that is there, and fit the law."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import Address, ExecutorName, Json, Overrides, with_resources

if TYPE_CHECKING:
    from nas.scaling.study import ScalingStudy


def fit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG|DIR",
            help="Configuration of a depth_width space, by file or by name; or a run directory to continue or read.",
            show_default=False,
        ),
    ],
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="New folder for everything the grid leaves.")
    ] = None,
    depths: Annotated[
        str | None, typer.Option("--depths", metavar="2,4,6|FROM:TO:STEP", help="In blocks; else the space's own.")
    ] = None,
    widths: Annotated[
        str | None, typer.Option("--widths", metavar="64,96|FROM:TO:STEP", help="Else the space's own.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=2, help="Training seeds of every setting.")] = 1,
    hold_out: Annotated[
        float,
        typer.Option("--hold-out", min=0, max=0.9, help="Share of the settings, the largest, to test on."),
    ] = 0.25,
    recommend_widths: Annotated[
        str | None,
        typer.Option(
            "--recommend-widths",
            metavar="64,80|FROM:TO:STEP",
            help="Widths to measure latency at, and not to train, so that they can be recommended.",
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", metavar="DIR", help="Further runs on the same text, such as with other tokens."),
    ] = None,
    overrides: Overrides = None,
    executor: ExecutorName = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Train a grid of depths and widths and fit L(D, W) to it; continued exactly when called again with its DIR."""
    import json

    from dashboards.pages.scaling import write_scaling_page
    from nas.cli.scaling.numbers import whole_numbers
    from nas.cli.scaling.training import continue_grid, train_grid, with_widths
    from nas.config import load_config
    from nas.errors import UsageError
    from nas.run import Run
    from nas.scaling.grid import grid_config, is_grid
    from nas.scaling.picture import scaling_picture
    from nas.scaling.runs import study_runs
    from nas.scaling.study import PICTURE_NAME

    extra = whole_numbers(recommend_widths, option="--recommend-widths")
    given = with_resources(overrides, executor=executor, address=address)
    path = Path(source)
    if path.is_dir():
        if run_dir is not None or depths is not None or widths is not None or seeds != 1:
            raise UsageError(f"--run-dir, --depths, --widths and --seeds go with a configuration; {path} has its own.")
        run = continue_grid(path, overrides=given)
    else:
        if run_dir is None:
            raise UsageError("A grid needs a folder for its results. Add --run-dir DIR.")
        config = grid_config(
            load_config(source, overrides=given),
            depths=whole_numbers(depths, option="--depths"),
            widths=whole_numbers(widths, option="--widths"),
            num_seeds=seeds,
        )
        run = train_grid(config, run_dir)
    if extra:
        if not is_grid(run):
            raise UsageError(f"--recommend-widths goes with a grid of one block; {path} is another search.")
        with_widths(run, extra)
    study = study_runs([run, *map(Run, also or [])], share_held_out=hold_out)
    folder = run.directory.path
    study.save(folder)
    write_scaling_page(scaling_picture(study, run), folder / PICTURE_NAME)
    typer.echo(json.dumps(study.to_dict(), indent=2) if as_json else _in_words(study))
    for caveat in study.caveats:
        typer.echo(f"note: {caveat}", err=True)
    typer.echo(f"Picture: {folder / PICTURE_NAME}", err=True)
    if is_grid(run):
        typer.echo(f"Choose by it: nas scaling recommend {folder} --budget-ms X", err=True)


def _in_words(study: "ScalingStudy") -> str:
    from nas.cli.text_table import text_table
    from nas.scaling.intervals import COVERED

    rows = []
    for point in study.points:
        predicted = study.predicted(point)
        rows.append(
            [
                str(point.depth),
                str(point.width),
                f"{point.num_parameters:,}",
                "" if point.latency_ms is None else f"{point.latency_ms:.2f}",
                f"{point.perplexity:.3f}",
                f"{predicted:.3f}",
                f"{100 * (predicted / point.perplexity - 1):+.1f} %",
                "held out" if study.is_held_out(point) else "",
            ]
        )
    headers = ["depth", "width", "parameters", "latency ms", "perplexity", "predicted", "error", ""]
    fitted = study.fitted
    parameters = [
        [name, f"{fitted.law.parameters[name]:.4g}", f"{low:.4g}", f"{high:.4g}"]
        for name, (low, high) in fitted.intervals.items()
    ]
    lines = [
        text_table(headers, rows, right=[True] * 7 + [False]),
        "",
        fitted.law.describe(),
        text_table(["", "fit", f"{COVERED:.0%} from", "to"], parameters, right=[False, True, True, True]),
    ]
    if study.held_out is not None:
        lines += ["", study.held_out.describe()]
    return "\n".join(lines)
