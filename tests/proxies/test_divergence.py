import json
import math

import pytest

from proxies.divergence import FAR_ABOVE_NATS, PATIENCE_STEPS, DivergenceWatch


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_or_gradient_that_is_no_number_is_a_divergence_in_its_step(value: float) -> None:
    watch = DivergenceWatch()
    assert watch.observe([5.0, 4.0], [1.0, 1.0]) is None
    divergence = watch.observe([3.0, value], [1.0, 1.0])
    assert divergence is not None
    assert (divergence.step, divergence.reason) == (4, f"the loss is {value}")
    divergence = DivergenceWatch().observe([5.0, 5.0], [1.0, value])
    assert divergence is not None
    assert (divergence.step, divergence.reason) == (2, f"the gradient norm is {value}")


def test_a_loss_that_stays_far_above_its_start_diverged_where_it_rose() -> None:
    losses = [5.0, 4.0, *[5.1 + FAR_ABOVE_NATS] * PATIENCE_STEPS]
    watch = DivergenceWatch()
    assert watch.observe(losses[:-1], [1.0] * (len(losses) - 1)) is None
    divergence = watch.observe(losses[-1:], [1.0])
    assert divergence is not None
    assert divergence.step == 3
    assert "above its start of 5 for 20 steps (6.1)" in divergence.reason


def test_spikes_and_a_poor_start_are_no_divergence() -> None:
    spikes = [5.0, *([50.0] * (PATIENCE_STEPS - 1) + [4.0]) * 5, *[5.9] * 100]
    assert DivergenceWatch().observe(spikes, [1.0] * len(spikes)) is None


@pytest.mark.parametrize("num_before", [0, 1, 5])
def test_a_watch_goes_on_from_what_another_knew(num_before: int) -> None:
    losses = [5.0, 4.0, *[6.1] * PATIENCE_STEPS]
    first = DivergenceWatch()
    assert first.observe(losses[:num_before], [1.0] * num_before) is None
    rest = losses[num_before:]
    watch = DivergenceWatch.from_dict(json.loads(json.dumps(first.to_dict(), allow_nan=False)))
    assert watch.observe(rest, [1.0] * len(rest)) == DivergenceWatch().observe(losses, [1.0] * len(losses))
