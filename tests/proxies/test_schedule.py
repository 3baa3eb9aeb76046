from itertools import pairwise

import pytest

from proxies.schedule import learning_rate
from proxies.settings import TrainingSettings


def test_the_learning_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    settings = TrainingSettings(
        steps=110, learning_rate=2.0, warmup_fraction=10 / 110, final_learning_rate_fraction=0.1
    )
    rates = [learning_rate(settings, step=step) for step in range(110)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[59] == pytest.approx(2.0 * 0.55)
    assert rates[-1] == pytest.approx(0.2)
    assert all(after < before for before, after in pairwise(rates[9:]))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_learning_rate(steps: int) -> None:
    settings = TrainingSettings(steps=steps, warmup_fraction=1.0)
    assert [learning_rate(settings, step=step) for step in range(steps)] == pytest.approx(
        [5e-3 * (step + 1) / steps for step in range(steps)]
    )


def test_warmup_stable_decay_stays_at_the_peak_and_falls_linearly_at_the_end() -> None:
    settings = TrainingSettings(
        steps=100,
        learning_rate=2.0,
        schedule="warmup_stable_decay",
        warmup_fraction=0.1,
        decay_fraction=0.25,
        final_learning_rate_fraction=0.0,
    )
    rates = [learning_rate(settings, step=step) for step in range(100)]
    assert rates[9:76] == [2.0] * 67
    assert rates[-1] == 0.0
    falls = [before - after for before, after in pairwise(rates[78:])]
    assert falls == pytest.approx([falls[0]] * len(falls))


def test_without_a_decay_the_peak_lasts() -> None:
    settings = TrainingSettings(steps=20, schedule="warmup_stable_decay", decay_fraction=0.0, warmup_fraction=0.1)
    assert learning_rate(settings, step=19) == settings.learning_rate
