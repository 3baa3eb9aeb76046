import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from nas.errors import UsageError
from nas.winners.evaluation.perplexity import TextScore, score_text
from nas.winners.evaluation.text import Text, Windows, open_text
from proxies.errors import DataError
from proxies.shard_writing import prepare_shards
from proxies.tokenizers import ByteTokenizer
from proxies.validation import validate


def first_tokens(split, count):
    return replace(split, tokens=split.tokens[:count], num_bytes=count, token_bytes=count)


@pytest.mark.parametrize("num_tokens", [1, 7, 8, 9, 40, 41])
@pytest.mark.parametrize("stride", [1, 3, 8])
def test_windows_predict_every_token_once_from_as_much_as_fits(num_tokens, stride):
    windows = Windows(num_tokens=num_tokens, sequence_tokens=8, stride=stride)
    predicted = Counter()
    for start, end, num_scored in (windows[index] for index in range(len(windows))):
        assert 0 <= start < end <= num_tokens
        assert end - start == min(8, end)
        predicted.update(range(end - num_scored + 1, end + 1))
    assert predicted == Counter(range(1, num_tokens + 1))


def test_a_stride_longer_than_the_window_is_refused():
    with pytest.raises(UsageError, match="from 1 to all 8; got 9"):
        Windows(num_tokens=20, sequence_tokens=8, stride=9)


@pytest.mark.parametrize("stride", [None, 5])
def test_perplexity_is_that_of_tokens_predicted_one_by_one(model, one_by_one, text_file, stride):
    text = open_text(f"file:{text_file}", tokenizer=ByteTokenizer())
    score = score_text(model, text, sequence_tokens=16, stride=stride, batch_size=3)
    stream = text.stretch(0, text.num_tokens + 1).tolist()
    assert stream[0] == stream[-1] == 256
    nats = []
    windows = Windows(num_tokens=text.num_tokens, sequence_tokens=16, stride=stride or 16)
    for start, end, num_scored in (windows[index] for index in range(len(windows))):
        nats += one_by_one(stream[start : end + 1])[-num_scored:]
    assert score.num_tokens == len(nats) == text.num_tokens
    assert score.loss == pytest.approx(sum(nats) / len(nats), rel=1e-4)
    assert score.perplexity == pytest.approx(math.exp(sum(nats) / len(nats)), rel=1e-3)
    # The end of the document is no text.
    assert score.num_bytes == len(nats) - 1
    assert score.bits_per_byte == pytest.approx(sum(nats[:-1]) / math.log(2) / (len(nats) - 1), rel=1e-4)


def test_on_the_same_sequences_it_is_the_validation_of_training(model, text_file):
    text = open_text(f"file:{text_file}", tokenizer=ByteTokenizer(), side="all")
    sequences = np.stack([text.stretch(start, start + 17) for start in range(0, 160, 16)])
    ours = validate(model, sequences, bytes_per_token=text.bytes_per_token, batch_size=4, dtype="float32")
    first = Text(uri=text.uri, side="all", tokenizer=text.tokenizer, splits=(first_tokens(text.splits[0], 160),))
    score = score_text(model, first, sequence_tokens=16, batch_size=4)
    assert score.loss == pytest.approx(ours.loss, rel=1e-6)
    assert score.bits_per_byte == pytest.approx(ours.bits_per_byte, rel=1e-6)


def test_all_of_a_text_is_train_and_validation(text_file):
    sides = {
        side: open_text(f"file:{text_file}", tokenizer=ByteTokenizer(), side=side)
        for side in ("train", "validation", "all")
    }
    assert sides["all"].num_tokens == sides["train"].num_tokens + sides["validation"].num_tokens
    whole = sides["all"].stretch(0, sides["all"].num_tokens + 1)
    parts = [sides[side].stretch(1, sides[side].num_tokens + 1) for side in ("train", "validation")]
    assert whole.tolist() == [256, *np.concatenate(parts).tolist()]
    border = sides["train"].num_tokens
    assert sides["all"].stretch(border - 2, border + 3).tolist() == whole[border - 2 : border + 3].tolist()


def test_shards_and_the_text_they_were_made_of_score_alike(model, text_file, tmp_path):
    folder = tmp_path / "shards"
    prepare_shards(f"file:{text_file}", folder=folder, tokenizer=ByteTokenizer())
    of_text = open_text(f"file:{text_file}", tokenizer=ByteTokenizer(), side="all")
    of_shards = open_text(f"tokens:{folder}", tokenizer=ByteTokenizer(), side="all")
    ours, theirs = (score_text(model, text, sequence_tokens=64, batch_size=4) for text in (of_text, of_shards))
    assert (ours.loss, ours.num_bytes) == (theirs.loss, theirs.num_bytes)


def test_a_few_tokens_are_taken_from_all_over_the_text(model, text_file):
    windows = Windows(num_tokens=1000, sequence_tokens=16, stride=16)
    assert windows.spread(64) == [0, 20, 40, 61]
    assert windows.spread(10**9) == windows.spread(None) == list(range(63))
    text = open_text(f"file:{text_file}", tokenizer=ByteTokenizer(), side="all")
    assert score_text(model, text, sequence_tokens=16, max_tokens=64).num_tokens == 64


def test_text_that_is_not_there_is_an_error_of_the_data(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.txt"):
        open_text(f"file:{tmp_path}/nothing.txt", tokenizer=ByteTokenizer())


@pytest.mark.parametrize("loss", [800.0, math.inf, math.nan])
def test_what_is_not_finite_is_null_in_json(loss):
    score = TextScore(
        uri="stdlib",
        side="validation",
        loss=loss,
        bits_per_byte=loss,
        num_tokens=1,
        num_text_tokens=1,
        num_bytes=1,
        sequence_tokens=1,
        stride=1,
        seconds=0.0,
    )
    found = json.loads(json.dumps(score.to_dict(), allow_nan=False))
    assert found["perplexity"] is None
    assert found["loss"] == (800.0 if loss == 800.0 else None)
