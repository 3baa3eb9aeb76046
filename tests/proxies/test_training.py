import copy
import functools
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from proxies.data import Corpus, training_batch
from proxies.schedule import learning_rate
from proxies.training import TrainingSettings, train
from proxies.validation import Validation

SETTINGS = TrainingSettings(steps=40, batch_size=2, sequence_tokens=32, learning_rate=3e-2)

Batches = Callable[[int], NDArray[np.int64]]


@pytest.fixture
def batches(repetition: Corpus) -> Batches:
    def batch(step: int) -> NDArray[np.int64]:
        return training_batch(repetition, step=step, seed=3, batch_size=2, sequence_tokens=32)

    return batch


def counter() -> Callable[[], Validation]:
    """Validations that count themselves."""
    numbers = iter(range(1000))
    return lambda: Validation(loss=float(next(numbers)), bits_per_byte=0.0)


def test_a_predictable_text_is_learnt_to_nearly_nothing(bigram: nn.Module, batches: Batches) -> None:
    outcome = train(bigram, batches, replace(SETTINGS, steps=150))
    assert outcome.curve[0].loss == pytest.approx(math.log(257), abs=0.5)
    assert outcome.curve[-1].loss < 0.02
    assert outcome.divergence is None
    assert outcome.steps == 150


def test_every_loss_equals_that_of_a_plain_loop(bigram: nn.Module, batches: Batches) -> None:
    settings = replace(SETTINGS, clip_norm=0.2, weight_decay=0.2)
    reference = copy.deepcopy(bigram).double()
    parameters = dict(reference.named_parameters())
    no_decay = [parameters["embedding.weight"], parameters["head.bias"]]
    optimizer = torch.optim.AdamW(
        [{"params": [parameters["head.weight"]], "weight_decay": 0.2}, {"params": no_decay, "weight_decay": 0.0}],
        betas=settings.betas,
        foreach=False,
    )
    expected = []
    num_clipped = 0
    for step in range(settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step=step)
        tokens_BT = torch.from_numpy(batches(step))
        log_probabilities_BTV = reference(tokens_BT[:, :-1]).log_softmax(-1)
        loss = -log_probabilities_BTV.gather(-1, tokens_BT[:, 1:, None]).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in parameters.values() if p.grad is not None))
        num_clipped += norm > settings.clip_norm
        for parameter in parameters.values():
            assert parameter.grad is not None
            parameter.grad *= min(1.0, settings.clip_norm / norm)
        optimizer.step()
        expected.append(loss.item())
    assert 0 < num_clipped < settings.steps
    curve = train(bigram, batches, settings).curve
    assert [point.loss for point in curve] == pytest.approx(expected, rel=1e-4)
    assert [point.tokens for point in curve] == [64 * (step + 1) for step in range(40)]


def test_the_same_batches_give_the_same_losses_bit_for_bit(bigram: nn.Module, batches: Batches) -> None:
    first = train(copy.deepcopy(bigram), batches, SETTINGS).curve
    assert train(copy.deepcopy(bigram), batches, SETTINGS).curve == first
    assert train(copy.deepcopy(bigram), lambda step: batches(step + 1), SETTINGS).curve != first


def test_an_absurd_learning_rate_is_a_recorded_divergence(bigram: nn.Module, batches: Batches) -> None:
    outcome = train(bigram, batches, replace(SETTINGS, steps=100, learning_rate=30.0), validate=counter())
    assert outcome.divergence is not None
    assert 1 < outcome.divergence.step <= 10
    assert "above its start of 5." in outcome.divergence.reason
    assert outcome.validation is None
    assert outcome.steps < 100


class _Breaks(nn.Module):
    """A bigram whose n-th forward pass is not a number, in value or only in gradient."""

    def __init__(self, model: nn.Module, *, at: int, only_gradient: bool) -> None:
        super().__init__()
        self.model = model
        self.calls = 0
        self.at = at
        self.only_gradient = only_gradient

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        logits_BTV: torch.Tensor = self.model(tokens_BT)
        if self.calls != self.at:
            return logits_BTV
        # The square root of zero is zero, its slope is infinite.
        return logits_BTV + (logits_BTV * 0).sqrt() if self.only_gradient else logits_BTV * math.nan


@pytest.mark.parametrize("step", [1, 7, 10, 11, 33])
@pytest.mark.parametrize("only_gradient", [False, True])
def test_a_loss_or_gradient_that_is_no_number_is_found_in_its_step(
    step: int, only_gradient: bool, bigram: nn.Module, batches: Batches
) -> None:
    outcome = train(_Breaks(bigram, at=step, only_gradient=only_gradient), batches, replace(SETTINGS, steps=1000))
    assert outcome.divergence is not None
    assert outcome.divergence.step == step
    assert ("gradient" in outcome.divergence.reason) is only_gradient
    assert outcome.steps <= step + 20


def test_validation_comes_when_asked_and_at_the_end(bigram: nn.Module, batches: Batches) -> None:
    outcome = train(bigram, batches, replace(SETTINGS, validation_every=15), validate=counter())
    validated = [
        (point.tokens // 64, point.validation_loss) for point in outcome.curve if point.validation_loss is not None
    ]
    assert validated == [(15, 0.0), (30, 1.0), (40, 2.0)]
    assert outcome.validation is not None
    assert outcome.validation.loss == 2.0


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e4])
def test_a_validation_loss_that_has_no_perplexity_is_a_divergence(
    loss: float, bigram: nn.Module, batches: Batches
) -> None:
    settings = replace(SETTINGS, validation_every=15)
    outcome = train(bigram, batches, settings, validate=lambda: Validation(loss=loss, bits_per_byte=loss))
    assert outcome.divergence is not None
    assert (outcome.divergence.step, outcome.divergence.reason) == (15, f"the validation loss is {loss}")
    assert all(point.validation_loss is None for point in outcome.curve)


def test_a_long_curve_is_thinned_to_means_of_what_lies_between(bigram: nn.Module, batches: Batches) -> None:
    def losses(steps: int, every: int | None) -> list[float]:
        settings = replace(SETTINGS, steps=steps, final_learning_rate_fraction=1.0, warmup_fraction=0.0)
        points = train(copy.deepcopy(bigram), batches, replace(settings, validation_every=every)).curve
        return [point.loss for point in points]

    every_step = losses(130, 1)
    assert len(every_step) == 130
    thinned = losses(130, None)
    windows = [every_step[start : start + 3] for start in range(0, 130, 3)]
    assert thinned == pytest.approx([sum(window) / len(window) for window in windows], rel=1e-5)


def test_progress_is_reported_and_can_stop_the_training(bigram: nn.Module, batches: Batches) -> None:
    calls: list[tuple[int, int, float]] = []
    train(bigram, batches, replace(SETTINGS, steps=57), report=lambda *call: calls.append(call))
    assert calls[-1][:2] == (57, 57)
    assert max(after[0] - before[0] for before, after in pairwise(calls)) <= 10
    assert all(math.isfinite(loss) for *_, loss in calls)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(bigram, batches, SETTINGS, report=stop)


def test_autocast_computes_in_bfloat16_and_keeps_parameters_in_float32(bigram: nn.Module, batches: Batches) -> None:
    dtypes = set()
    for dtype in ("auto", "bfloat16"):
        model = copy.deepcopy(bigram)
        model.register_forward_hook(functools.partial(lambda name, *call: dtypes.add((name, call[-1].dtype)), dtype))
        curve = train(model, batches, TrainingSettings.from_dict({**SETTINGS.to_dict(), "dtype": dtype})).curve
        assert curve[-1].loss < 1
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert dtypes == {("auto", torch.float32), ("bfloat16", torch.bfloat16)}
