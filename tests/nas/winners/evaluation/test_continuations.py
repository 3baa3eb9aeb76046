import copy

import pytest
import torch

from nas.errors import UsageError
from nas.winners.evaluation import continuations
from nas.winners.evaluation.continuations import score_continuations


def drawn(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 257, (length,), generator=generator).tolist() for length in lengths]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_likelihoods_are_those_of_one_token_after_the_other_in_any_batch(model, one_by_one, batch_size):
    pairs = list(zip(drawn(9, 1, 23, 4, 63), drawn(1, 3, 2, 7, 1), strict=True))
    scores = score_continuations(model, pairs, batch_size=batch_size, context_tokens=128)
    for (context, continuation), score in zip(pairs, scores, strict=True):
        nats = one_by_one(context + continuation)[-len(continuation) :]
        assert score.num_tokens == len(continuation)
        assert score.log_likelihood == pytest.approx(-sum(nats), rel=1e-4)


def test_what_the_model_would_say_itself_is_greedy_and_nothing_else(model):
    (context,) = drawn(12)
    said = list(context)
    with torch.inference_mode():
        for _ in range(4):
            said.append(int(model(torch.tensor([said]))[0, -1].argmax()))
    other = [*said[12:15], (said[15] + 1) % 257]
    ours, theirs = score_continuations(model, [(context, said[12:]), (context, other)], batch_size=2, context_tokens=64)
    assert ours.is_greedy
    assert not theirs.is_greedy
    assert theirs.num_greedy == 3


def test_of_a_long_context_the_end_is_kept(model):
    context, continuation = drawn(40, 3)
    (whole,) = score_continuations(model, [(context[-6:], continuation)], batch_size=1, context_tokens=64)
    (cut,) = score_continuations(model, [(context, continuation)], batch_size=1, context_tokens=8)
    assert cut == whole


def test_a_continuation_that_does_not_fit_says_so(model):
    with pytest.raises(UsageError, match="one has 9"):
        score_continuations(model, [([1], list(range(9)))], batch_size=1, context_tokens=8)


def test_an_empty_continuation_is_certain(model):
    scores = score_continuations(model, [([1, 2], []), ([1, 2], [3])], batch_size=2, context_tokens=8)
    assert (scores[0].log_likelihood, scores[0].is_greedy) == (0.0, True)
    assert scores[1].log_likelihood < 0


def test_logits_a_few_rows_at_a_time_change_nothing(model, monkeypatch):
    pairs = list(zip(drawn(5, 6), drawn(7, 3), strict=True))
    whole = score_continuations(model, pairs, batch_size=2, context_tokens=64)
    monkeypatch.setattr(continuations, "_LOGITS_AT_ONCE", 257 * 3)
    parts = score_continuations(model, pairs, batch_size=2, context_tokens=64)
    assert [part.log_likelihood for part in parts] == pytest.approx([one.log_likelihood for one in whole], rel=1e-5)


@pytest.mark.gpu
def test_a_gpu_finds_the_same_likelihoods(model):
    pairs = list(zip(drawn(9, 1, 23), drawn(1, 3, 2), strict=True))
    ours = score_continuations(model, pairs, batch_size=3, context_tokens=64)
    theirs = score_continuations(copy.deepcopy(model).cuda(), pairs, batch_size=3, context_tokens=64)
    for one, other in zip(ours, theirs, strict=True):
        assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=2e-2)
