"""Strategies by name."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields
from typing import Any, Final, TypeVar

from nas.errors import ConfigError
from nas.evolution.aging import Aging
from nas.evolution.frontier import Frontier
from nas.evolution.random_search import RandomSearch
from nas.evolution.strategy import Problem, Strategy
from nas.evolution.surrogate import Surrogate
from search_spaces.errors import near_miss

G = TypeVar("G", bound=Hashable)

STRATEGIES: Final[Mapping[str, Callable[..., Strategy[Any]]]] = {
    "aging": Aging,
    "frontier": Frontier,
    "random": RandomSearch,
    "surrogate": Surrogate,
}

_SETTINGS: Final = {
    name: {field.name for field in fields(strategy) if field.init} - {"problem"}
    for name, strategy in (("aging", Aging), ("frontier", Frontier), ("random", RandomSearch), ("surrogate", Surrogate))
}

DEFAULT_SETTINGS: Final[Mapping[str, int]] = {
    "population_size": 20,
    "tournament_size": 10,
    "offspring_per_cycle": 10,
    "num_imagined": 200,
}
"""Where a strategy has the setting and none is given. [NF] publishes 10 offspring a cycle, but neither P nor S."""


def strategy_settings(name: str, given: Mapping[str, int]) -> dict[str, int]:
    """Return every setting of a strategy, defaults filled in.

    Raises:
        ConfigError: an unknown strategy or setting, or a setting below 1.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"Unknown strategy {name!r}.{near_miss(name, STRATEGIES)}")
    known = _SETTINGS[name]
    for key, value in given.items():
        if key not in known:
            can = f"It takes {', '.join(sorted(known))}." if known else "It takes none."
            raise ConfigError(f"The strategy {name!r} has no setting {key!r}. {can}")
        if value < 1:
            raise ConfigError(f"{key} must be at least 1; got {value!r}.")
    return {key: given.get(key, DEFAULT_SETTINGS[key]) for key in sorted(known)}


def make_strategy(name: str, problem: Problem[G], settings: Mapping[str, int]) -> Strategy[G]:
    """Return a strategy by name; see `strategy_settings` for what it refuses."""
    return STRATEGIES[name](problem=problem, **strategy_settings(name, settings))
