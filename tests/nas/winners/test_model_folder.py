import json

import pytest
import torch

from nas.errors import CheckpointError
from nas.winners.model_folder import read_model_folder
from nas.winners.weights import load_model, save_model
from operators.model import HybridLM
from proxies.json_tokenizer import tokenizer_of
from proxies.tokenizers import ByteTokenizer
from search_spaces import architecture_from_pattern

DEFINITION = {
    "version": "1.0",
    "model": {"type": "WordLevel", "vocab": {"<|endoftext|>": 0, "a": 1}, "unk_token": "a"},
    "pre_tokenizer": {"type": "Whitespace"},
}


@pytest.fixture(scope="module", params=["d f m2 f a f", "gd w m1"])
def model(request):
    return HybridLM(architecture_from_pattern(request.param, hidden_size=64, vocab_size=257), seed=3)


@pytest.fixture
def folder(model, tmp_path):
    save_model(tmp_path, model, tokenizer=ByteTokenizer(), provenance={"origin": "training", "step": 7})
    return tmp_path


def test_a_saved_model_is_read_back_bit_for_bit(model, folder):
    loaded, described = load_model(folder)
    assert described.architecture == model.architecture
    assert described.tokenizer == ByteTokenizer()
    assert described.provenance == {"origin": "training", "step": 7}
    tokens_BT = torch.randint(0, 257, (2, 9), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded(tokens_BT), model(tokens_BT), rtol=0, atol=0)
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_a_loaded_model_has_the_dtype_asked_for(folder):
    loaded, _ = load_model(folder, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.bfloat16}


def test_the_definition_of_a_tokenizer_goes_with_the_model(model, tmp_path):
    tokenizer = tokenizer_of(json.dumps(DEFINITION), name="words", end_of_document=0)
    save_model(tmp_path, model, tokenizer=tokenizer, provenance={"origin": "random"})
    assert read_model_folder(tmp_path).tokenizer.to_dict()["end_of_document"] == 0
    (tmp_path / "tokenizer.json").write_text(json.dumps(DEFINITION | {"added_tokens": []}))
    with pytest.raises(CheckpointError, match="its own tokenizer"):
        read_model_folder(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be read: No such file"):
        read_model_folder(tmp_path)


def test_of_a_training_the_newest_whole_checkpoint_is_read(model, tmp_path):
    for step in (5, 10):
        folder = tmp_path / "checkpoints" / f"step-{step}"
        folder.mkdir(parents=True)
        save_model(folder, model, tokenizer=None, provenance={"step": step})
    (tmp_path / "checkpoints" / "step-20").mkdir()
    assert read_model_folder(tmp_path).provenance["step"] == 10


def test_a_folder_without_a_model_says_what_makes_one(tmp_path):
    with pytest.raises(CheckpointError, match="nas train"):
        read_model_folder(tmp_path)


def test_weights_of_another_architecture_are_named(folder):
    document = json.loads((folder / "model.json").read_text())
    document["architecture"]["hidden_size"] = 128
    (folder / "model.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=r"embedding must have shape \[257, 128\]; got \[257, 64\]"):
        load_model(folder)


def test_weights_cut_short_are_an_error_of_the_checkpoint(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_model(folder)


def test_a_later_version_is_refused(folder):
    document = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(document | {"schema_version": 2}))
    with pytest.raises(CheckpointError, match="schema_version 2"):
        read_model_folder(folder)
