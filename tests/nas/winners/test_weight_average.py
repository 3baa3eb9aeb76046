import torch
from torch import nn

from nas.winners.weight_average import WeightAverage


def test_the_average_follows_the_weights():
    model = nn.Linear(2, 2)
    first = model.weight.detach().clone()
    average = WeightAverage(model, decay=0.75)
    with torch.no_grad():
        model.weight.add_(1)
    average.update_()
    torch.testing.assert_close(average.average["weight"], first + 0.25)


def test_a_model_holds_the_average_only_meanwhile():
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay=0.5)
    with torch.no_grad():
        model.weight.add_(1)
    weights, kept = model.weight.detach().clone(), average.average["weight"].clone()
    with average.in_place():
        assert torch.equal(model.weight, kept)
    assert torch.equal(model.weight, weights)
    assert torch.equal(average.average["weight"], kept)
