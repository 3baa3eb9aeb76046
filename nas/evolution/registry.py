"""Strategies by name."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

from nas.errors import ConfigError
from nas.evolution.aging import Aging
from nas.evolution.frontier import Frontier
from nas.evolution.grid import Grid
from nas.evolution.optuna_samplers import NSGA2, TPE
from nas.evolution.random_search import RandomSearch
from nas.evolution.strategy import Problem, Strategy
from nas.evolution.surrogate import Surrogate
from search_spaces import SuggestingSpace
from search_spaces.errors import near_miss

G = TypeVar("G", bound=Hashable)

_CLASSES: Final[Mapping[str, Any]] = {
    "aging": Aging,
    "frontier": Frontier,
    "grid": Grid,
    "nsga2": NSGA2,
    "random": RandomSearch,
    "surrogate": Surrogate,
    "tpe": TPE,
}

STRATEGIES: Final[Mapping[str, Callable[..., Strategy[Any]]]] = _CLASSES

SUGGESTING: Final = ("nsga2", "tpe")
"""Strategies that need a `SuggestingSpace`."""

_SETTINGS: Final = {
    name: {field.name for field in fields(strategy) if field.init} - {"problem"} for name, strategy in _CLASSES.items()
}

DEFAULT_SETTINGS: Final[Mapping[str, int]] = {
    "population_size": 20,
    "tournament_size": 10,
    "offspring_per_cycle": 10,
    "num_imagined": 200,
}
"""Where a strategy has the setting and none is given. [NF] publishes 10 offspring a cycle, but neither P nor S."""

_OWN_DEFAULTS: Final[Mapping[tuple[str, str], int]] = {("nsga2", "population_size"): 50}
_LEAST: Final[Mapping[tuple[str, str], int]] = {("nsga2", "population_size"): 2}  # a crossover needs two


def strategy_settings(name: str, given: Mapping[str, int]) -> dict[str, int]:
    """Return every setting of a strategy, defaults filled in.

    Raises:
        ConfigError: an unknown strategy or setting, or a setting below its least, mostly 1.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"Unknown strategy {name!r}.{near_miss(name, STRATEGIES)}")
    known = _SETTINGS[name]
    for key, value in given.items():
        if key not in known:
            can = f"It takes {', '.join(sorted(known))}." if known else "It takes none."
            raise ConfigError(f"The strategy {name!r} has no setting {key!r}. {can}")
        if value < (least := _LEAST.get((name, key), 1)):
            raise ConfigError(f"{key} must be at least {least}; got {value!r}.")
    own = {key: default for (strategy, key), default in _OWN_DEFAULTS.items() if strategy == name}
    return {key: given.get(key, {**DEFAULT_SETTINGS, **own}[key]) for key in sorted(known)}


def make_strategy(name: str, problem: Problem[G], settings: Mapping[str, int]) -> Strategy[G]:
    """Return a strategy by name.

    Raises:
        ConfigError: what `strategy_settings` refuses, or a strategy that needs parameters of a space that names none.
    """
    filled = strategy_settings(name, settings)
    if name in SUGGESTING and not isinstance(problem.space, SuggestingSpace):
        raise ConfigError(
            f"The strategy {name!r} needs a space that offers suggest(trial); {type(problem.space).__name__} does not. "
            f"Add it, or use {', '.join(other for other in STRATEGIES if other not in SUGGESTING)}."
        )
    return STRATEGIES[name](problem=problem, **filled)
