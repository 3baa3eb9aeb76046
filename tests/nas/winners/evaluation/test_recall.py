import numpy as np
import pytest

from nas.errors import UsageError
from nas.winners.evaluation.recall import TASKS, score_recall
from proxies.tokenizers import ByteTokenizer


@pytest.mark.parametrize("name", TASKS)
def test_the_answer_stands_in_the_prompt_once(name):
    for seed in range(5):
        prompt = TASKS[name](12, rng=np.random.default_rng(seed))
        assert prompt.context.count(prompt.answer) == 1
        assert prompt.answer.startswith(" ")
        assert not prompt.context.endswith(" ")


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("length", [128, 600])
def test_prompts_fill_the_length_asked_for_and_no_more(model, name, length):
    (score,) = score_recall(model, ByteTokenizer(), tasks=[name], lengths=[length], num_prompts=2, seed=0, batch_size=2)
    assert score.num_tokens == length
    assert length - 60 < score.mean_tokens <= length


def test_a_book_has_as_many_entries_as_there_are_names():
    prompt = TASKS["phonebook"](10_000, rng=np.random.default_rng(0))
    assert prompt.context.count(": ") == 320
    names = [line.split(":")[0] for line in prompt.context.splitlines()[:320]]
    assert len(set(names)) == 320
    assert prompt.context.splitlines()[-1].rstrip(":") in names


def test_a_model_that_looks_answers_up_is_right_and_one_that_does_not_is_not(model, monkeypatch):
    """The score of a model that knows the answer, and of one that guesses digits."""
    (blind,) = score_recall(model, ByteTokenizer(), tasks=["phonebook"], lengths=[200], num_prompts=4, seed=0)
    assert blind.exact == 0
    assert blind.nats_per_byte > 2

    def knows(_, pairs, **__):
        from nas.winners.evaluation.continuations import ContinuationScore

        return [
            ContinuationScore(log_likelihood=-0.7, num_tokens=len(answer), num_greedy=len(answer))
            for _, answer in pairs
        ]

    monkeypatch.setattr("nas.winners.evaluation.recall.score_continuations", knows)
    (seeing,) = score_recall(model, ByteTokenizer(), tasks=["phonebook"], lengths=[200], num_prompts=4, seed=0)
    assert (seeing.exact, seeing.token_accuracy) == (1, 1)
    assert seeing.nats_per_byte == pytest.approx(0.1)


def test_the_same_seed_asks_the_same(model):
    def scores(seed):
        return score_recall(model, ByteTokenizer(), tasks=["needle"], lengths=[128], num_prompts=2, seed=seed)

    assert scores(0) == scores(0) != scores(1)


@pytest.mark.parametrize(
    ("tasks", "length", "words"),
    [(["fonebook"], 100, "Did you mean 'phonebook'"), (["needle"], 20, "at least")],
)
def test_what_cannot_be_asked_says_why(model, tasks, length, words):
    with pytest.raises(UsageError, match=words):
        score_recall(model, ByteTokenizer(), tasks=tasks, lengths=[length], num_prompts=1, seed=0)
