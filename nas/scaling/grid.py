"""A grid of depths and widths trained as a search is: the same run directory, the same exact continuation.

Only what is asked of the search; what its points say is `study.py`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from latency.plan import missing
from nas.config import SearchConfig
from nas.errors import ConfigError
from nas.latency_source import needed_rows, without_time
from nas.remote_measuring import MeasuringOf, remote_measuring
from nas.run import Run
from nas.run_latency import run_table
from nas.scaling.law import MIN_DISTINCT, parameter_names
from nas.search import SearchObserver
from search_spaces import DepthWidthSpace, space_to_dict

STRATEGY: Final = "grid"
MOST_SEEDS: Final = 2


def grid_config(
    config: SearchConfig, *, depths: Sequence[int] = (), widths: Sequence[int] = (), num_seeds: int = 1
) -> SearchConfig:
    """Return the configuration that trains every depth at every width.

    Args:
        config: of the space, the text, the training and the latency.
        depths: in blocks; those of its space where none are given.
        widths: likewise.
        num_seeds: training seeds of every setting, 1 or 2.

    Raises:
        ConfigError: another space than one of depths and widths, constraints, or a grid too small for a law.
        SpecError: a depth or width at which the space builds no model.
    """
    space = config.load_space()
    if not isinstance(space, DepthWidthSpace):
        raise ConfigError(
            f"A grid of depths and widths needs a depth_width space; {config.name!r} has {type(space).__name__}. "
            "Set space: depth-width-llama, or write one out with block, depths and hidden_sizes."
        )
    if config.constraints:
        raise ConfigError(
            f"A law is fitted to a whole grid; got constraints on {', '.join(config.constraints)}. "
            "Leave them out: latency budgets are given to `nas scaling recommend`."
        )
    if not 1 <= num_seeds <= MOST_SEEDS:
        raise ConfigError(f"Every setting is trained under 1 or {MOST_SEEDS} seeds; got {num_seeds}.")
    grid = replace(space, depths=tuple(depths) or space.depths, hidden_sizes=tuple(widths) or space.hidden_sizes)
    for name, values in (("depths", grid.depths), ("widths", grid.hidden_sizes)):
        if len(values) < MIN_DISTINCT:
            raise ConfigError(
                f"A power law needs at least {MIN_DISTINCT} {name}; got {', '.join(map(str, values))}. "
                f"Add some with --{name}."
            )
    num_points = len(grid.genomes())
    # A grid of three by three is nine points for five parameters: enough.
    assert num_points > len(parameter_names(token_term=False))
    return config.model_copy(
        update={
            "space": space_to_dict(grid),
            "seeds": (),
            "strategy": type(config.strategy)(name=STRATEGY),
            "budget": type(config.budget)(evaluations=num_points, repeats=(num_seeds - 1) * num_points),
        }
    )


def is_grid(run: Run) -> bool:
    """Whether a run trains a grid, so that continuing it is completing its grid."""
    return run.config.strategy.name == STRATEGY


def measure_widths(
    run: Run, *, widths: Sequence[int], observer: SearchObserver, measuring: MeasuringOf = remote_measuring
) -> int:
    """Measure what the run's own latency table lacks to price further widths, and return how many rows that were.

    Args:
        run: of a grid.
        widths: at which the run's blocks are to be priced; nothing is trained.
        observer: is told how measuring goes.
        measuring: opens what measures elsewhere.

    Raises:
        NasError: the device cannot be had, or is another one than the table's.
    """
    space = run.space
    assert isinstance(space, DepthWidthSpace)  # what `grid_config` made
    rows = needed_rows(run.config.latency.workload, replace(space, hidden_sizes=tuple(widths)))
    before = run.table()
    absent = without_time(rows, before) if run.config.latency.table else missing(rows, before)
    if absent:
        with run.directory.lock, measuring(run.config, observer.notice) as remote:
            run_table(
                run.directory, run.config, rows=rows, given=None, models=lambda: (), remote=remote, observer=observer
            )
    return len(absent)
