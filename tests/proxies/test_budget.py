from dataclasses import replace

import pytest

from proxies.budget import training_flops_per_token, within_budget
from proxies.errors import SettingsError
from proxies.settings import TrainingSettings
from search_spaces import architecture_from_pattern

SETTINGS = TrainingSettings(steps=100_000, batch_size=2, sequence_tokens=64)


def model(width):
    return architecture_from_pattern("d f m2 f a f", hidden_size=width, vocab_size=257)


def test_a_budget_of_arithmetic_buys_small_models_more_steps():
    budget = replace(SETTINGS, flops=1e12)
    small, large = within_budget(budget, model(64)), within_budget(budget, model(256))
    assert small.steps > 8 * large.steps > 0
    for settings, width in ((small, 64), (large, 256)):
        spent = settings.total_tokens * training_flops_per_token(model(width), sequence_tokens=64)
        step = settings.tokens_per_step * training_flops_per_token(model(width), sequence_tokens=64)
        assert 1e12 - step < spent <= 1e12


def test_steps_remain_the_most_and_one_the_least():
    assert within_budget(replace(SETTINGS, flops=1e30), model(64)).steps == 100_000
    assert within_budget(replace(SETTINGS, flops=1.0), model(64)).steps == 1
    assert within_budget(SETTINGS, model(64)) is SETTINGS


def test_a_backward_pass_counts_twice_a_forward_one():
    from operators.cost import flops_per_token

    assert training_flops_per_token(model(64), sequence_tokens=64) == 3 * flops_per_token(model(64), context_tokens=32)


def test_a_budget_that_is_none_is_refused():
    with pytest.raises(SettingsError, match=r"training\.flops must be a positive number; got -1"):
        TrainingSettings(flops=-1)
