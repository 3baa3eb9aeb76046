import json
import subprocess
import sys

import pytest
import torch

from nas.export.hf.exporter import HuggingFaceExporter
from nas.importing.folder import read_folder
from nas.winners.weights import build, read_weights
from search_spaces import architecture_from_pattern


@pytest.mark.parametrize("seed", range(7))
def test_what_was_written_is_read_back_as_the_same_model(seed, pair_of, architecture_of):
    pair = pair_of(architecture_of(seed))
    found = read_folder(pair.folder)
    assert found.architecture.fingerprint() == pair.ours.architecture.fingerprint()
    again = build(found.architecture, found.weights, where=pair.folder).state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in pair.ours.state_dict().items())


def test_what_transformers_saved_of_it_is_read_back_too(pair_of, architecture_of, tmp_path):
    pair = pair_of(architecture_of(3))
    pair.foreign.save_pretrained(tmp_path)
    found = read_folder(tmp_path)
    assert found.architecture == pair.ours.architecture
    assert found.weights.keys() == pair.ours.state_dict().keys()


def test_weights_keep_their_dtype_and_the_configuration_says_it(model_of, architecture_of, tmp_path):
    model = model_of(architecture_of(1)).to(torch.bfloat16)
    HuggingFaceExporter().write(model, tmp_path, tokenizer=None)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert {weight.dtype for weight in read_weights(tmp_path).values()} == {torch.bfloat16}


def test_the_code_written_imports_nothing_of_ours(pair_of, architecture_of):
    text = (pair_of(architecture_of(0)).folder / "modeling_hybridnas.py").read_text()
    compile(text, "modeling_hybridnas.py", "exec")
    for line in text.splitlines():
        if line.startswith(("import ", "from ")):
            assert line.split()[1].partition(".")[0] not in ("nas", "operators", "search_spaces", "proxies", "latency")


def test_parts_of_the_code_share_no_name():
    import ast
    from importlib import resources

    from nas.export.hf.merging import PARTS

    names = [
        node.name
        for part in PARTS
        for node in ast.parse((resources.files("nas.export.hf.code") / f"{part}.py").read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    ]
    assert len(names) == len(set(names))


def test_every_layer_of_fla_is_an_obstacle_and_nothing_else_is(architecture_of):
    architecture = architecture_from_pattern("fla:gla f fla:kda a", hidden_size=64, vocab_size=64)
    found = HuggingFaceExporter().obstacles(architecture)
    assert [obstacle.feature.split(",")[0] for obstacle in found] == ["operator 0 is fla:gla", "operator 2 is fla:kda"]
    assert not any(HuggingFaceExporter().obstacles(architecture_of(seed)) for seed in range(14))


def test_the_code_written_is_free_of_undefined_and_unused_names(pair_of, architecture_of):
    file = pair_of(architecture_of(0)).folder / "modeling_hybridnas.py"
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F,E9", "--no-cache", str(file)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
