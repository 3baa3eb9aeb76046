import json

import pytest
import torch

from nas.errors import CheckpointError, UsageError
from nas.winners.generation import generate_text
from nas.winners.weights import save_model
from operators.model import HybridLM
from proxies.json_tokenizer import tokenizer_of
from proxies.tokenizers import ByteTokenizer
from search_spaces import architecture_from_pattern
from search_spaces.errors import UnavailableError

WORDS = {
    "version": "1.0",
    "added_tokens": [
        {
            "id": 0,
            "content": "<|endoftext|>",
            "special": True,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
    ],
    "model": {"type": "WordLevel", "vocab": {"<|endoftext|>": 0, "a": 1, "b": 2, "c": 3}, "unk_token": "a"},
    "pre_tokenizer": {"type": "Whitespace"},
}


@pytest.fixture(scope="module")
def model():
    return HybridLM(architecture_from_pattern("d f a f", hidden_size=64, vocab_size=257), seed=3)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, model, tokenizer=ByteTokenizer(), provenance={"origin": "random"})
    return folder


def generated(folder, prompt="abc", **changes):
    settings = {"num_tokens": 12, "sampling": (0.0, None, 0), "dtype": None, "device": "cpu"} | changes
    return generate_text(folder, prompt, **settings)


def test_what_follows_is_what_the_model_finds_likeliest(model, folder):
    tokens = list(b"abc")
    with torch.inference_mode():
        for _ in range(12):
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
    generation = generated(folder, ignores_end=True)
    pieces = list(generation.pieces)
    assert generation.num_prompt_tokens == 3
    assert len(pieces) == 12
    text = "".join(piece.text for piece in pieces)
    assert text == ByteTokenizer().decode(torch.tensor(tokens[3:]).numpy())


def test_the_end_of_the_document_ends_the_text_unless_it_is_ignored(folder, monkeypatch):
    monkeypatch.setattr(
        "latency.runtime.Decoder.stream", lambda *_, **__: (torch.tensor([token]) for token in (104, 256, 105))
    )
    assert [(piece.text, piece.is_end) for piece in generated(folder).pieces] == [("h", False), ("", True)]
    further = generated(folder, num_tokens=3, ignores_end=True)
    assert "".join(piece.text for piece in further.pieces) == "hi"


def test_tokens_that_the_tokenizer_has_not_leave_no_trace(tmp_path):
    model = HybridLM(architecture_from_pattern("a f", hidden_size=64, vocab_size=64), seed=0)
    tokenizer = tokenizer_of(json.dumps(WORDS), name="words", end_of_document=0)
    save_model(tmp_path, model, tokenizer=tokenizer, provenance={"origin": "random"})
    pieces = list(generated(tmp_path, "a b", num_tokens=40, sampling=(5.0, None, 0), ignores_end=True).pieces)
    assert len(pieces) == 40
    assert set("".join(piece.text for piece in pieces)) <= set("abc ")


def test_without_a_tokenizer_one_has_to_be_named(model, tmp_path):
    save_model(tmp_path, model, tokenizer=None, provenance={"origin": "import"})
    with pytest.raises(CheckpointError, match="--tokenizer bytes"):
        generated(tmp_path)
    assert len(list(generated(tmp_path, tokenizer="bytes", ignores_end=True).pieces)) == 12


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    model = HybridLM(architecture_from_pattern("a", hidden_size=64, vocab_size=100), seed=0)
    save_model(tmp_path, model, tokenizer=None, provenance={"origin": "import"})
    with pytest.raises(CheckpointError, match="bytes has 257, the model"):
        generated(tmp_path, tokenizer="bytes")


def test_another_tokenizer_than_the_model_s_own_is_refused(folder, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(WORDS))
    with pytest.raises(UsageError, match="its own tokenizer"):
        generated(folder, tokenizer=str(tmp_path))
    assert len(list(generated(folder, tokenizer="bytes", ignores_end=True).pieces)) == 12


def test_an_empty_prompt_is_refused(folder):
    with pytest.raises(UsageError, match="at least one token"):
        generated(folder, "")


def test_a_device_that_is_not_there_is_refused(folder):
    with pytest.raises(UnavailableError, match="cpu or cuda"):
        generated(folder, device="gpu")


@pytest.mark.gpu
def test_a_gpu_writes_the_same(folder):
    ours, theirs = (
        "".join(piece.text for piece in generated(folder, device=device, ignores_end=True).pieces)
        for device in ("cpu", "cuda")
    )
    assert ours == theirs
