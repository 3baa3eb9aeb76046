import pytest

from operators.cost import flops_per_token, num_parameters
from proxies.zero_cost import SIZES, ZERO_COST_SCORES, size_scores
from search_spaces import architecture_from_pattern


def model(pattern="a f", *, width=64):
    return architecture_from_pattern(pattern, hidden_size=width, vocab_size=257)


def test_sizes_are_the_counts_of_the_model_and_negative():
    scores = size_scores(model("a f m2"), sequence_tokens=64)
    assert scores["num_parameters"] == -num_parameters(model("a f m2"))
    assert scores["depth"] == -3
    # A token sees half of its sequence on average.
    assert scores["flops_per_token"] == -flops_per_token(model("a f m2"), context_tokens=32)
    assert scores["num_non_embedding_parameters"] - scores["num_parameters"] in (257 * 64, 2 * 257 * 64)


@pytest.mark.parametrize("name", SIZES)
def test_a_deeper_model_is_predicted_to_be_better(name):
    assert size_scores(model("a f a f"), sequence_tokens=64)[name] < size_scores(model("a f"), sequence_tokens=64)[name]


def test_a_wider_model_is_predicted_to_be_better_but_not_deeper():
    wide, narrow = (size_scores(model(width=width), sequence_tokens=64) for width in (128, 64))
    assert all(wide[name] < narrow[name] for name in SIZES if name != "depth")
    assert wide["depth"] == narrow["depth"]


def test_every_score_is_named_once():
    assert len(set(ZERO_COST_SCORES)) == len(ZERO_COST_SCORES)
    assert set(SIZES) <= set(ZERO_COST_SCORES)
