import pytest
import torch
from safetensors.torch import load_file, save_file

from nas.errors import ExportError
from nas.export.hf.exporter import HuggingFaceExporter
from nas.export.round_trip import prove, relative_rms


@pytest.fixture(scope="module")
def written(model_of, architecture_of, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    model = model_of(architecture_of(6))
    HuggingFaceExporter().write(model, folder, tokenizer=None)
    return model, folder


def test_a_folder_with_other_weights_is_no_export_of_the_model(written):
    model, folder = written
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("output.weight"))
    save_file({**weights, name: -weights[name]}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ExportError, match=r"its logits differ by [\d.e+-]+, at most 1e-04 is rounding"):
        prove(model, folder, exporter=HuggingFaceExporter())


def test_a_folder_that_transformers_cannot_read_is_no_export(written, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "unheard-of"}')
    with pytest.raises(ExportError, match="transformers cannot read what was written"):
        prove(written[0], tmp_path, exporter=HuggingFaceExporter())


def test_where_transformers_is_missing_or_has_no_class_the_proof_says_so(written, monkeypatch):
    model, folder = written
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    proof = prove(model, folder, exporter=HuggingFaceExporter())
    assert proof.difference is None
    assert "transformers is not installed" in proof.words
    monkeypatch.setattr(HuggingFaceExporter, "serve_commands", lambda self, folder: {"another engine": "serve"})
    assert "has no class" in prove(model, folder, exporter=HuggingFaceExporter()).words


def test_a_difference_is_relative_and_other_shapes_are_infinitely_different():
    ours = torch.full((2, 3), 100.0)
    assert relative_rms(ours, ours + 1) == pytest.approx(0.01)
    assert relative_rms(ours, ours[:1]) == float("inf")
    assert not relative_rms(ours, ours * float("nan")) <= 1.0
