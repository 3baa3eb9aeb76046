from itertools import pairwise

import pytest
import torch
from torch import nn

from operators.model import HybridLM
from proxies.optimizer import adamw, learning_rate
from proxies.settings import TrainingSettings
from search_spaces import architecture_from_pattern


def hybrid(*, tie_embeddings: bool = True) -> HybridLM:
    architecture = architecture_from_pattern(
        "d f m2 f a hh m1",
        hidden_size=64,
        vocab_size=257,
        num_meta_tokens=4,
        tie_embeddings=tie_embeddings,
    )
    return HybridLM(architecture, seed=0)


@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_only_matrices_decay_and_every_parameter_is_trained_once(tie_embeddings: bool) -> None:
    model = hybrid(tie_embeddings=tie_embeddings)
    decayed, others = adamw(model, TrainingSettings(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    ids = [id(parameter) for group in (decayed, others) for parameter in group["params"]]
    assert sorted(ids) == sorted({id(parameter) for parameter in model.parameters()})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert all(parameter.ndim >= 2 for parameter in decayed["params"])
    kept = {names[id(parameter)] for parameter in others["params"] if parameter.ndim >= 2}
    assert kept == {"embedding", "meta_tokens"}


def test_frozen_parameters_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    model[1].requires_grad_(False)
    groups = adamw(model, TrainingSettings()).param_groups
    assert [[tuple(p.shape) for p in group["params"]] for group in groups] == [[(3, 3)], [(3,)]]


def test_the_update_is_adamw() -> None:
    # By hand: after one step, moments corrected for their start make the update sign-like, decay is decoupled.
    layer = nn.Linear(2, 1)
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    optimizer = adamw(layer, TrainingSettings(learning_rate=0.1, weight_decay=0.5))
    (layer(torch.tensor([[3.0, -2.0]])).sum()).backward()
    optimizer.step()
    torch.testing.assert_close(layer.weight, before["weight"] * (1 - 0.05) - 0.1 * torch.tensor([[1.0, -1.0]]))
    torch.testing.assert_close(layer.bias, before["bias"] - 0.1)


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
