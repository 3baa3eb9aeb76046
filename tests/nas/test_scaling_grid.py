import pytest

from nas.config import load_config
from nas.errors import ConfigError
from nas.scaling.grid import grid_config
from search_spaces import SpecError


@pytest.fixture
def shipped():
    return load_config("scaling-cpu")


def test_the_grid_is_what_is_asked_for_and_every_setting_gets_its_seeds(shipped):
    config = grid_config(shipped, depths=(1, 2, 4), widths=(32, 64, 80), num_seeds=2)
    space = config.load_space()
    assert (space.depths, space.hidden_sizes) == ((1, 2, 4), (32, 64, 80))
    assert (config.budget.evaluations, config.budget.repeats) == (9, 9)
    assert config.strategy.name == "grid"


def test_without_depths_and_widths_it_is_the_grid_of_the_space(shipped):
    space = shipped.load_space()
    config = grid_config(shipped)
    assert config.load_space() == space
    assert (config.budget.evaluations, config.budget.repeats) == (len(space.depths) * len(space.hidden_sizes), 0)


@pytest.mark.parametrize(
    ("overrides", "asked", "words"),
    [
        ((), {"depths": (1, 2)}, "at least 3 depths; got 1, 2"),
        ((), {"widths": (32,)}, "at least 3 widths; got 32"),
        ((), {"num_seeds": 3}, "1 or 2 seeds; got 3"),
        (("constraints.latency_ms=3",), {}, "got constraints on latency_ms"),
        (("space=quick-cpu", "strategy.name=random"), {}, "needs a depth_width space"),
    ],
)
def test_a_grid_that_gives_no_law_is_refused(overrides, asked, words):
    with pytest.raises(ConfigError, match=words):
        grid_config(load_config("scaling-cpu", overrides=overrides), **asked)


def test_a_width_at_which_no_model_can_be_built_is_refused(shipped):
    with pytest.raises(SpecError, match="hidden_sizes holds 24"):
        grid_config(shipped, widths=(16, 24, 32))


def test_the_strategy_is_refused_for_a_space_that_lists_nothing():
    with pytest.raises(ConfigError, match="needs a space that lists its genomes"):
        load_config("scaling-cpu", overrides=("space=quick-cpu",))
