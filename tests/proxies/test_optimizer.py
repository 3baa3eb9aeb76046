from typing import Any

import pytest
import torch
from torch import nn

from operators.model import HybridLM
from proxies.optimizer import make_updates
from proxies.settings import OptimizerName, TrainingSettings
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


def names_by_group(model: HybridLM, settings: TrainingSettings, *, width: int | None = None) -> list[dict[str, Any]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [
        {**group, "names": {names[id(parameter)] for parameter in group["params"]}}
        for group in make_updates(model, settings, width=width)._groups
    ]


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("tie_embeddings", [True, False])
def test_only_matrices_decay_and_every_parameter_is_trained_once(tie_embeddings: bool, name: OptimizerName) -> None:
    model = hybrid(tie_embeddings=tie_embeddings)
    groups = names_by_group(model, TrainingSettings(weight_decay=0.3, optimizer=name))
    trained = [name for group in groups for name in group["names"]]
    assert sorted(trained) == sorted(name for name, _ in model.named_parameters())
    parameters = dict(model.named_parameters())
    decayed = {name for group in groups for name in group["names"] if group["weight_decay"] == 0.3}
    kept = {name for group in groups for name in group["names"] if group["weight_decay"] == 0.0}
    assert decayed | kept == set(trained)
    assert all(parameters[name].ndim >= 2 for name in decayed)
    assert {name for name in kept if parameters[name].ndim >= 2} == {"embedding", "meta_tokens"}


def test_muon_takes_matrices_and_leaves_the_head_and_convolutions_to_adamw() -> None:
    model = hybrid(tie_embeddings=False)
    first, *rest = names_by_group(model, TrainingSettings(optimizer="muon"))
    parameters = dict(model.named_parameters())
    assert all(parameters[name].ndim == 2 for name in first["names"])
    left = {name for group in rest for name in group["names"]}
    assert "head" in left
    assert {name for name in left if parameters[name].ndim == 2} == {"head", "embedding", "meta_tokens"}


def test_an_update_of_muon_is_orthogonal_and_as_long_as_one_of_adamw() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 96, bias=False)
    before = layer.weight.detach().clone()
    updates = make_updates(layer, TrainingSettings(optimizer="muon", weight_decay=0.0))
    layer(torch.randn(200, 48)).square().sum().backward()
    updates.step(rate=0.01)
    change = (layer.weight.detach() - before) / 0.01
    lengths = torch.linalg.svdvals(change.double())
    assert lengths.min() > 0.5 * lengths.max()  # five Newton-Schulz steps leave them that near to equal
    assert change.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)
    assert layer.weight.grad is None


def test_matrices_of_a_wider_model_learn_more_slowly_where_a_base_width_is_given() -> None:
    settings = TrainingSettings(base_width=32)
    for group in names_by_group(hybrid(), settings, width=64):
        assert group["rate_factor"] == (0.5 if group["weight_decay"] else 1.0)
    assert {group["rate_factor"] for group in names_by_group(hybrid(), TrainingSettings(), width=64)} == {1.0}
    layer = nn.Linear(2, 1)
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    updates = make_updates(layer, TrainingSettings(base_width=1, weight_decay=0.0), width=2)
    (layer(torch.tensor([[3.0, -2.0]])).sum()).backward()
    updates.step(rate=0.1)
    torch.testing.assert_close(layer.weight, before["weight"] - 0.05 * torch.tensor([[1.0, -1.0]]))
    torch.testing.assert_close(layer.bias, before["bias"] - 0.1)


def test_frozen_parameters_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    model[1].requires_grad_(False)
    updates = make_updates(model, TrainingSettings())
    assert [tuple(parameter.shape) for parameter in updates.parameters] == [(3, 3), (3,)]


def test_the_update_is_adamw() -> None:
    # By hand: after one step, moments corrected for their start make the update sign-like, decay is decoupled.
    layer = nn.Linear(2, 1)
    before = {name: parameter.detach().clone() for name, parameter in layer.named_parameters()}
    updates = make_updates(layer, TrainingSettings(learning_rate=0.5, weight_decay=0.5))
    (layer(torch.tensor([[3.0, -2.0]])).sum()).backward()
    updates.step(rate=0.1)
    torch.testing.assert_close(layer.weight, before["weight"] * (1 - 0.05) - 0.1 * torch.tensor([[1.0, -1.0]]))
    torch.testing.assert_close(layer.bias, before["bias"] - 0.1)
