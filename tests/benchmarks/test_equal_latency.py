from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchmarks import equal_latency
from benchmarks.equal_latency import TOLERANCE, pure_models
from search_spaces.presets import load_preset
from search_spaces.specs import AttentionSpec, FFNSpec, Mamba2Spec


@dataclass
class Priced:
    milliseconds: float


@pytest.fixture
def price(monkeypatch):
    def predict(architecture, workload, table):
        return Priced(architecture.hidden_size / 16 * (1 + len(architecture.operators)))

    monkeypatch.setattr(equal_latency, "predict", predict)
    return lambda architecture: predict(architecture, None, None).milliseconds


@pytest.mark.parametrize(("kind", "specs"), [("attention", {AttentionSpec, FFNSpec}), ("Mamba2", {Mamba2Spec})])
def test_pure_models_are_of_one_kind_and_as_fast_as_the_winner(price, kind, specs):
    space = load_preset("quick-cpu")
    letters = ("d", "f", "m2", "f", "a", "f", "m2", "f", "d")
    winner = replace(
        space.decode(space.sample(rng=np.random.default_rng(0))),
        hidden_size=96,
        operators=space.dimensions.operators(letters, hidden_size=96),
    )
    found = pure_models(kind, winner, space=space, workload=None, table=None)
    assert found
    assert len({model.hidden_size for model in found}) == len(found)
    for model in found:
        assert {type(spec) for spec in model.operators} == specs
        assert abs(price(model) / price(winner) - 1) <= TOLERANCE
