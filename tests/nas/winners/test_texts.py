import numpy as np
import pytest
import torch

from nas.winners.errors import DataEndedError
from nas.winners.recipe import read_recipe
from nas.winners.stages import Plan
from nas.winners.texts import Texts, together
from proxies.errors import DataError
from proxies.validation import Validation

BASE = "name: one\ndata: {data}\nlearning_rate: 1\nbatch_size: 4\nstages: [{{tokens: 1M, sequence_tokens: 16}}]\n"


def texts(data, *overrides):
    recipe = read_recipe(BASE.format(data=data), where="test", overrides=overrides)
    return Texts(recipe, Plan(recipe))


@pytest.fixture
def mixture(sources):
    return f"[{{source: '{sources['first']}', weight: 3}}, {{source: '{sources['second']}'}}]"


@pytest.mark.parametrize("sampling", ["random", "epochs"])
def test_a_row_is_the_same_whoever_asks(mixture, sampling):
    found = texts(mixture, f"sampling={sampling}")
    whole = found.batch(step=5, places_B=np.arange(4))
    assert whole.shape == (4, 17)
    for rank in range(2):
        part = texts(mixture, f"sampling={sampling}").batch(step=5, places_B=np.arange(4)[rank::2])
        assert torch.equal(part, whole[rank::2])
    assert not torch.equal(found.batch(step=6, places_B=np.arange(4)), whole)
    assert not torch.equal(texts(mixture, "seed=1").batch(step=5, places_B=np.arange(4)), whole)


def test_a_mixture_is_of_all_its_sources(mixture):
    found = texts(mixture)
    rows = torch.cat([found.batch(step=step, places_B=np.arange(4)) for step in range(25)])
    is_second = [bytes(row.clamp(max=255).to(torch.uint8).tolist()).count(b"o") > 0 for row in rows]
    assert 15 <= sum(is_second) <= 25


def test_what_is_read_once_comes_once_and_then_ends(sources):
    found = texts(sources["first"], "sampling=once")
    seen = []

    def read_all():
        for step in range(1000):
            seen.extend(tuple(row) for row in found.batch(step=step, places_B=np.arange(4)).tolist())

    with pytest.raises(
        DataEndedError, match=r"seen after \d+ steps .* lower its tokens to \d+; to go on takes another"
    ):
        read_all()
    assert len(seen) > 300
    assert len(set(seen)) == len(seen)
    again = texts(sources["first"], "sampling=epochs")
    assert seen[:4] == [tuple(row) for row in again.batch(step=0, places_B=np.arange(4)).tolist()]


def test_every_source_is_validated_on_by_its_share(mixture):
    held_out = texts(mixture, "validation.sequences=8", "validation.sequence_tokens=10").held_out()
    assert [each.sequences.shape for each in held_out] == [(6, 11), (2, 11)]
    found = together((Validation(loss=1.0, bits_per_byte=2.0), Validation(loss=5.0, bits_per_byte=6.0)), held_out)
    assert found.loss == pytest.approx(2.0)
    assert 2.9 < found.bits_per_byte < 3.1


def test_sources_of_several_stages_are_all_opened(sources):
    second = f"{{tokens: 640, sequence_tokens: 32, data: '{sources['second']}'}}"
    stages = f"stages=[{{tokens: 640, sequence_tokens: 16}}, {second}]"
    found = texts(sources["first"], stages, "validation.sequences=8")
    assert [each["uri"] for each in found.to_dict()] == list(sources.values())
    assert found.batch(step=10, places_B=np.arange(4)).shape == (4, 33)
    assert [len(each.sequences) for each in found.held_out()] == [4, 4]


def test_a_source_too_short_for_its_stage_is_refused(sources):
    with pytest.raises(DataError, match="hold"):
        texts(sources["first"], "stages=[{tokens: 1M, sequence_tokens: 100000}]")
