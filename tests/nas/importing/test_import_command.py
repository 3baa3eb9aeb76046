"""`nas import`: a folder becomes a checkpoint, or one message says why not."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from nas.cli.main import app
from nas.errors import ModelImportError, RunDirectoryError, UsageError
from nas.export.native.qwen3 import Qwen3Exporter
from nas.winners.weights import load_model
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


def test_a_failed_import_leaves_nothing(published: Path, tmp_path: Path) -> None:
    (published / "model.safetensors").write_bytes(b"not")
    result = CliRunner().invoke(app, ["import", str(published), "-o", str(tmp_path / "c")])
    assert isinstance(result.exception, ModelImportError)
    assert [entry.name for entry in tmp_path.iterdir()] == ["published"]


def test_an_unknown_dtype_names_the_known_ones(published: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["import", str(published), "-o", str(tmp_path / "c"), "--dtype", "float31"])
    assert isinstance(result.exception, UsageError)
    assert "Did you mean 'float32'" in str(result.exception)
