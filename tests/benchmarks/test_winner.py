import pytest

from benchmarks.winner import FULL_STAGES, STAGES, WINNER, Scores, lengths_of, seed_noise, verdicts


def scores(*bits):
    return Scores(bits_per_byte=bits, perplexities=bits)


def test_the_verdict_says_who_won_and_by_how_much():
    found = {WINNER: scores(2.0, 2.1), "attention": scores(2.4, 2.5), "Mamba2": scores(1.9, 2.0)}
    beaten, lost = verdicts(found, noise=0.01)
    assert "beats pure attention" in beaten
    assert "0.4000 bits per byte (16.3 %)" in beaten
    assert "loses to pure Mamba2" in lost
    assert "0.1000" in lost


def test_a_difference_within_the_noise_is_said_to_be():
    (sentence,) = verdicts({WINNER: scores(2.0, 2.2), "attention": scores(2.1, 2.2)}, noise=0.1)
    assert "which the seed alone could make" in sentence


def test_a_winner_that_is_the_pure_model_is_said_to_be():
    (sentence,) = verdicts({WINNER: scores(2.0), "Mamba2": scores(2.0)}, noise=None, same=("Mamba2",))
    assert "is itself the pure Mamba2 model" in sentence


def test_noise_is_pooled_over_models_and_unknown_for_single_trainings():
    assert seed_noise([scores(1.0, 1.2), scores(3.0, 3.2)]) == pytest.approx(0.02**0.5)
    assert seed_noise([scores(1.0), scores(2.0)]) is None


def test_models_are_scored_at_every_length_they_were_trained_at():
    assert lengths_of(STAGES) == lengths_of(FULL_STAGES) == [256, 1024]
    assert lengths_of("[{tokens: 1, sequence_tokens: 64}, {tokens: 1, sequence_tokens: 64}]") == [64]
