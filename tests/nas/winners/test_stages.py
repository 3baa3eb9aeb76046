from itertools import pairwise

import pytest

from nas.errors import ConfigError
from nas.winners.recipe import load_recipe, read_recipe
from nas.winners.stages import Plan, check_divides, check_goes_on

BASE = "name: one\ndata: stdlib\nlearning_rate: 1\nwarmup_fraction: 0.1\nbatch_size: 2\nstages: []\n"


def plan(stages, *overrides):
    return Plan(read_recipe(BASE.replace("[]", stages), where="test", overrides=overrides))


def test_stages_are_whole_steps_one_after_the_other():
    found = plan("[{tokens: 100, sequence_tokens: 10}, {tokens: 90, sequence_tokens: 20, batch_size: 1}]")
    assert [(stage.first_step, stage.num_steps) for stage in found.stages] == [(0, 5), (5, 5)]
    assert [found.stage_of(step).index for step in (0, 4, 5, 9)] == [0, 0, 1, 1]
    assert [found.tokens_after(steps) for steps in (0, 1, 5, 6, 10)] == [0, 20, 100, 120, 200]


def test_a_batch_of_tokens_holds_whole_sequences():
    found = plan("[{tokens: 1000, sequence_tokens: 30, batch_tokens: 100}]")
    assert found.stages[0].batch_size == 3
    with pytest.raises(ConfigError, match="one sequence at least"):
        plan("[{tokens: 1000, sequence_tokens: 300, batch_tokens: 100}]")


def test_the_rate_runs_over_the_tokens_of_all_stages():
    one = plan("[{tokens: 200, sequence_tokens: 10}]")
    two = plan("[{tokens: 100, sequence_tokens: 10}, {tokens: 100, sequence_tokens: 20, batch_size: 1}]")
    assert [two.learning_rate(step) for step in range(10)] == [one.learning_rate(step) for step in range(10)]
    assert one.learning_rate(0) == pytest.approx(1)
    assert one.learning_rate(9) == pytest.approx(0)


def test_a_stage_with_a_rate_of_its_own_has_a_schedule_of_its_own():
    found = plan("[{tokens: 200, sequence_tokens: 10}, {tokens: 200, sequence_tokens: 10, learning_rate: 0.5}]")
    alone = plan("[{tokens: 200, sequence_tokens: 10}]")
    rates = [found.learning_rate(step) for step in range(20)]
    assert rates[:10] == [alone.learning_rate(step) for step in range(10)]
    assert rates[10:] == pytest.approx([0.5 * rate for rate in rates[:10]])


def test_a_stable_rate_falls_at_the_end():
    found = plan("[{tokens: 2000, sequence_tokens: 10}]", "schedule=warmup_stable_decay", "decay_fraction=0.5")
    rates = [found.learning_rate(step) for step in range(100)]
    assert rates[9:55] == [1.0] * 46
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert all(after < before for before, after in pairwise(rates[55:]))


def test_batches_that_do_not_divide_name_the_nearest():
    found = plan("[{tokens: 2000, sequence_tokens: 10, batch_size: 10}]", "num_micro_batches=2")
    check_divides(found, num_processes=5)
    with pytest.raises(ConfigError, match=r"3 process\(es\) × 2 micro-batch\(es\); got 10 .* batch_size: 6, 12"):
        check_divides(found, num_processes=3)


def test_the_recipe_of_the_paper_divides_among_64_devices():
    check_divides(Plan(load_recipe("nemotron-flash")), num_processes=64)


@pytest.mark.parametrize(
    ("after", "goes_on"),
    [
        ("[{tokens: 100, sequence_tokens: 10}, {tokens: 400, sequence_tokens: 10}]", True),
        ("[{tokens: 100, sequence_tokens: 10}, {tokens: 100, sequence_tokens: 50}]", False),
        ("[{tokens: 200, sequence_tokens: 10}, {tokens: 100, sequence_tokens: 10}]", False),
        ("[{tokens: 100, sequence_tokens: 10}]", False),
        ("[{tokens: 100, sequence_tokens: 10}, {tokens: 60, sequence_tokens: 10}]", True),
        ("[{tokens: 100, sequence_tokens: 10}, {tokens: 20, sequence_tokens: 10}]", False),
    ],
)
def test_only_what_has_not_begun_may_change(after, goes_on):
    before = plan("[{tokens: 100, sequence_tokens: 10}, {tokens: 100, sequence_tokens: 10}]")
    if goes_on:
        check_goes_on(before, plan(after), steps_done=7)
    else:
        with pytest.raises(ConfigError, match="the 7 steps done are done; stage"):
            check_goes_on(before, plan(after), steps_done=7)
