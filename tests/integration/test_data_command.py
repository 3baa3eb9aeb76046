"""Tokens prepared once and trained on: the real command line, a real tokenizer, real workers that map the files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from nas.run import Run
from tests.integration.conftest import CONFIG, Nas

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prepared(nas: Nas, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    learnt = nas("data", "tokenizer", f"file:{text}", "--vocab-size", 400, "--output", folder / "tokenizer.json")
    assert "400 tokens" in learnt.stdout
    options = ["--tokenizer", folder / "tokenizer.json", "--validation-fraction", 0.3, "--shard-tokens", 5000]
    result = nas("data", "prepare", f"file:{text}", *options, "--output", folder / "shards")
    assert f"proxy.corpus: tokens:{folder / 'shards'}" in result.stderr
    return folder


@pytest.fixture(scope="module")
def config(prepared: Path, table: Path) -> Path:
    content = CONFIG | {"latency": CONFIG["latency"] | {"table": str(table)}}
    content["proxy"] = {"corpus": "tokens:shards", "training": CONFIG["proxy"]["training"] | {"sampling": "epochs"}}
    content["space"] = CONFIG["space"] | {"vocab_size": 300}
    (prepared / "tokens.yaml").write_text(yaml.safe_dump(content | {"budget": {"evaluations": 4}}))
    return prepared / "tokens.yaml"


def test_what_was_prepared_can_be_shown_and_verified(nas: Nas, prepared: Path, text: Path) -> None:
    shown = json.loads(nas("data", "info", prepared / "shards", "--json").stdout)
    assert shown["source"] == f"file:{text}"
    assert shown["tokenizer"]["vocab_size"] == 400
    num_documents = shown["train"]["documents"] + shown["validation"]["documents"]
    assert num_documents == len(list(text.iterdir()))
    assert "bytes/token" in nas("data", "info", prepared / "shards").stdout
    num_files = shown["train"]["shards"] + shown["validation"]["shards"]
    assert f"{num_files} files are as they were written" in nas("data", "verify", prepared / "shards").stdout
    again = nas(
        *("data", "prepare", f"file:{text}", "--tokenizer", prepared / "tokenizer.json", "--validation-fraction", 0.3),
        *("--shard-tokens", 5000, "--output", prepared / "shards", "--json"),
    )
    assert json.loads(again.stdout) == shown
    assert "Prepared already" in again.stderr


def test_a_search_whose_workers_map_the_shards_goes_on_from_any_folder(
    nas: Nas, prepared: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    monkeypatch.chdir(prepared)
    nas("search", config, "--run-dir", run, "--executor", "ray")
    kept = yaml.safe_load((run / "config.yaml").read_text())["proxy"]
    assert (kept["corpus"], kept["tokenizer"]) == (f"tokens:{prepared / 'shards'}", None)
    corpus = json.loads((run / "environment.json").read_text())["corpus"]
    assert corpus["tokenizer"]["vocab_size"] == 400
    history = Run(run).study.history()
    assert [1 < record.objectives["perplexity"] < 5000 for record in history] == [True] * 4
    assert history[0].candidate.description["proxy"]["vocab_size"] == 400
    monkeypatch.chdir(tmp_path)
    nas("resume", run, "--set", "budget.evaluations=5")
    assert len(Run(run).study.history()) == 5


def test_shards_score_as_their_text_does(nas: Nas, prepared: Path, config: Path, text: Path, tmp_path: Path) -> None:
    single = tmp_path / "one.txt"
    single.write_text("\n".join(path.read_text() for path in sorted(text.iterdir())))
    tokenizer = prepared / "tokenizer.json"
    nas("data", "prepare", f"file:{single}", "--tokenizer", tokenizer, "--output", tmp_path / "one")
    found = []
    for name, uri in (("text", f"file:{single}"), ("tokens", f"tokens:{tmp_path / 'one'}")):
        changes = (f"proxy.corpus={uri}", f"proxy.tokenizer={tokenizer}")
        nas("search", config, "--run-dir", tmp_path / name, *(x for change in changes for x in ("--set", change)))
        found.append([record.objectives["perplexity"] for record in Run(tmp_path / name).study.history()])
    assert found[0] == found[1]


def test_a_tokenizer_that_changed_since_a_run_began_is_refused(
    nas: Nas, prepared: Path, config: Path, text: Path, tmp_path: Path
) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    shutil.copy(prepared / "tokenizer.json", tokenizer)
    changes = (f"proxy.corpus=file:{text}/*.txt", f"proxy.tokenizer={tokenizer}")
    nas("search", config, "--run-dir", tmp_path / "run", *(x for change in changes for x in ("--set", change)))
    nas("data", "tokenizer", f"file:{text}", "--vocab-size", 380, "--output", tokenizer)
    refused = nas("resume", tmp_path / "run", "--set", "budget.evaluations=5", expect=3)
    assert "The tokenizer of this run has changed" in refused.stderr


def test_what_cannot_be_trained_on_is_one_error(
    nas: Nas, prepared: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [
        (f"proxy.corpus=tokens:{tmp_path}", "has none to read"),
        (f"proxy.corpus=file:{tmp_path}/none.txt", "There is no file"),
        ("proxy.corpus=hf:name", "Name it and its split"),
        ("proxy.training.batch_size=100000", "got 100000 sequences a batch, and the train split"),
    ]
    monkeypatch.chdir(prepared)
    for change, words in cases:
        refused = nas("search", config, "--run-dir", tmp_path / "run", "--set", change, expect=3)
        assert words in refused.stderr
    shards = f"proxy.corpus=tokens:{prepared / 'shards'}"
    asked = ["--set", shards, "--set", "proxy.tokenizer=bytes"]
    refused = nas("search", config, "--run-dir", tmp_path / "run", *asked, expect=3)
    assert "got 'bytes'" in refused.stderr
    cut = tmp_path / "cut"
    shutil.copytree(prepared / "shards", cut)
    np.save(cut / "train-00000.npy", np.zeros(3, dtype=np.uint16))
    asked = ["--run-dir", tmp_path / "run", "--set", f"proxy.corpus=tokens:{cut}"]
    assert "A shard must be as long as it was written" in nas("search", config, *asked, expect=3).stderr
    assert "as long as it was written" in nas("data", "verify", cut, expect=3).stderr
    assert not (tmp_path / "run").exists()
    assert "got 5" in nas("data", "tokenizer", "stdlib", "--vocab-size", 5, "--output", tmp_path / "t", expect=3).stderr
