import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from operators.model import HybridLM
from proxies.data import training_batch
from proxies.saliency import saliencies, score_initialization
from proxies.settings import TrainingSettings
from proxies.training import next_token_loss
from proxies.zero_cost import SALIENCIES
from search_spaces import architecture_from_pattern

MODEL = architecture_from_pattern("m2 a f", hidden_size=64, vocab_size=257)
SETTINGS = TrainingSettings(batch_size=2, sequence_tokens=64, device="cpu")


def parameter(values, gradient=None):
    made = nn.Parameter(torch.tensor(values))
    made.grad = None if gradient is None else torch.tensor(gradient)
    return made


def test_saliencies_are_those_counted_by_hand():
    found = saliencies([parameter([1.0, -2.0], [3.0, 4.0]), parameter([[0.5]], [[-2.0]]), parameter([7.0])])
    assert found == {"snip": -(3 + 8 + 1), "gradient_norm": -(5 + 2)}
    assert tuple(found) == SALIENCIES


def test_parameters_that_move_the_loss_more_score_better():
    weak, strong = (saliencies([parameter([1.0, 1.0], [slope, slope])]) for slope in (0.1, 1.0))
    assert all(strong[name] < weak[name] for name in SALIENCIES)


def test_an_untrained_model_knows_about_as_much_as_a_coin(repetition):
    found = score_initialization(MODEL, corpus=repetition, settings=SETTINGS, seed=0)
    assert found.loss == pytest.approx(math.log(257), rel=0.2)
    assert all(score < 0 and math.isfinite(score) for score in found.scores.values())


def test_scores_are_of_the_first_batch_of_the_training_with_that_seed(repetition):
    found = score_initialization(MODEL, corpus=repetition, settings=SETTINGS, seed=3)
    model = HybridLM(MODEL, seed=3)
    batch = training_batch(repetition, step=0, seed=3, batch_size=2, sequence_tokens=64, sampling="random")
    loss = next_token_loss(model, torch.from_numpy(batch))
    torch.autograd.backward(loss)
    assert found.loss == pytest.approx(float(loss.detach()))
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    assert found.scores["gradient_norm"] == pytest.approx(-sum(float(gradient.norm()) for gradient in gradients))


def test_the_same_seed_gives_the_same_scores_and_another_one_others(library):
    first, again, other = (
        score_initialization(MODEL, corpus=library, settings=SETTINGS, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.scores != other.scores


def test_settings_of_training_that_do_not_touch_the_first_batch_change_nothing(library):
    first, again = (
        score_initialization(MODEL, corpus=library, settings=settings, seed=0)
        for settings in (SETTINGS, replace(SETTINGS, steps=7, learning_rate=1.0))
    )
    assert first == again


def test_a_model_with_normalized_weights_is_scored_as_its_training_begins(library):
    plain, normalized = (
        score_initialization(
            MODEL, corpus=library, settings=replace(SETTINGS, weight_normalization=is_on, weight_decay=0.0), seed=0
        )
        for is_on in (False, True)
    )
    assert plain.loss != normalized.loss
