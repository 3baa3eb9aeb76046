"""`nas import`: a folder becomes a checkpoint, or one message says why not."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import ModelImportError, RunDirectoryError, UsageError
from nas.export.native.qwen3 import Qwen3Exporter
from nas.winners.weights import load_model, save_model
from operators.model import HybridLM
from proxies.tokenizers import ByteTokenizer
from search_spaces import Architecture
from search_spaces.specs import AttentionSpec, FFNSpec

ATTENTION = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=10, rope_theta=1e4, qk_norm=True)
ARCHITECTURE = Architecture(hidden_size=32, operators=(ATTENTION, FFNSpec(intermediate_size=48)), vocab_size=257)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    Qwen3Exporter().write(HybridLM(ARCHITECTURE, seed=5), folder, tokenizer=ByteTokenizer())
    return folder


def test_the_checkpoint_holds_the_model_and_the_tokenizer(published: Path, tmp_path: Path) -> None:
    output = tmp_path / "checkpoint"
    result = CliRunner().invoke(app, ["import", str(published), "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{output}\n"
    model, described = load_model(output)
    assert described.architecture == ARCHITECTURE
    assert described.tokenizer == ByteTokenizer()
    assert described.provenance == {"origin": "import", "folder": "published", "model_type": "qwen3"}
    tokens = torch.randint(0, 257, (1, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), HybridLM(ARCHITECTURE, seed=5)(tokens))


def test_json_is_one_document(published: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["import", str(published), "-o", str(tmp_path / "c"), "--dtype", "bfloat16", "--json"]
    )
    report = json.loads(result.stdout)
    assert report["fingerprint"] == ARCHITECTURE.fingerprint()
    assert report["parameters"] == sum(parameter.numel() for parameter in HybridLM(ARCHITECTURE, seed=0).parameters())
    assert load_model(tmp_path / "c")[0].embedding.dtype == torch.bfloat16


def test_what_is_there_is_replaced_only_by_force_and_only_if_a_checkpoint(published: Path, tmp_path: Path) -> None:
    output, other = tmp_path / "checkpoint", tmp_path / "other"
    assert CliRunner().invoke(app, ["import", str(published), "-o", str(output)]).exit_code == 0
    again = CliRunner().invoke(app, ["import", str(published), "-o", str(output)])
    assert isinstance(again.exception, RunDirectoryError)
    assert CliRunner().invoke(app, ["import", str(published), "-o", str(output), "--force"]).exit_code == 0
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    refused = CliRunner().invoke(app, ["import", str(published), "-o", str(other), "--force"])
    assert isinstance(refused.exception, RunDirectoryError)
    assert (other / "thesis.txt").read_text() == "mine"
    trained = tmp_path / "trained"
    trained.mkdir()
    save_model(trained, HybridLM(ARCHITECTURE, seed=5), tokenizer=None, provenance={"origin": "training"})
    refused = CliRunner().invoke(app, ["import", str(published), "-o", str(trained), "--force"])
    assert "no imported checkpoint" in str(refused.exception)
    assert load_model(trained)[1].provenance == {"origin": "training"}


def test_a_failed_import_leaves_nothing(published: Path, tmp_path: Path) -> None:
    (published / "model.safetensors").write_bytes(b"not")
    result = CliRunner().invoke(app, ["import", str(published), "-o", str(tmp_path / "c")])
    assert isinstance(result.exception, ModelImportError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["published"]


def test_an_unknown_dtype_names_the_known_ones(published: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["import", str(published), "-o", str(tmp_path / "c"), "--dtype", "float31"])
    assert isinstance(result.exception, UsageError)
    assert "Did you mean 'float32'" in str(result.exception)


def index_without_a_map(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("[]")


def index_of_numbers(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": 3}}')


def index_to_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')


def old_pickles(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def tokenizer_of_nothing(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")


def tokenizer_not_json(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("dear")


def fewer_rows_than_tokens(folder: Path) -> None:
    config(folder, vocab_size=100)
    tensors(folder, lambda name, tensor: tensor[:100] if "embed" in name else tensor)


def whole_numbers(folder: Path) -> None:
    tensors(folder, lambda name, tensor: tensor.to(torch.int8))


def eight_bit_floats(folder: Path) -> None:
    tensors(folder, lambda name, tensor: tensor.to(torch.float8_e4m3fn))


def quantised(folder: Path) -> None:
    config(folder, quantization_config={"quant_method": "fp8"})


def another_head_though_tied(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "lm_head.weight": torch.zeros(257, 32)}, folder / "model.safetensors")


def config(folder: Path, **changed: object) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **changed}))


def tensors(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    weights = load_file(folder / "model.safetensors")
    changed = {name: change(name, tensor).contiguous() for name, tensor in weights.items()}
    save_file(changed, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (index_without_a_map, "cannot be read"),
        (index_of_numbers, "cannot be read"),
        (index_to_elsewhere, "no file beside it"),
        (old_pickles, "Only safetensors are"),
        (tokenizer_of_nothing, "tokenizer in .* cannot be read"),
        (tokenizer_not_json, "tokenizer in .* cannot be read"),
        (fewer_rows_than_tokens, "has 257 tokens, the model only 100"),
        (whole_numbers, "is int8"),
        (eight_bit_floats, "is float8_e4m3fn"),
        (quantised, "quantization_config"),
        (another_head_though_tied, "tie_word_embeddings says"),
    ],
)
def test_a_damaged_or_quantised_folder_is_refused_in_one_message(
    published: Path, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(published)
    result = CliRunner().invoke(app, ["import", str(published), "-o", str(tmp_path / "c")])
    assert isinstance(result.exception, ModelImportError), result.output
    assert re.search(words, str(result.exception))
    assert not (tmp_path / "c").exists()


def test_a_tied_head_that_is_written_twice_is_read_once(published: Path, tmp_path: Path) -> None:
    weights = load_file(published / "model.safetensors")
    twice = {**weights, "lm_head.weight": weights["model.embed_tokens.weight"].clone()}
    save_file(twice, published / "model.safetensors")
    assert CliRunner().invoke(app, ["import", str(published), "-o", str(tmp_path / "c")]).exit_code == 0
    assert load_model(tmp_path / "c")[1].architecture == ARCHITECTURE
