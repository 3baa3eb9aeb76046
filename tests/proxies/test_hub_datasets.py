import importlib
import json
from pathlib import Path

import pytest

from proxies.errors import DataError
from proxies.hub_datasets import HubDataset, absolute_dataset
from proxies.sources import absolute_uri, read_source
from search_spaces.errors import UnavailableError

# The library reads files with calls its dependencies have come to discourage.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    path = tmp_path / "pages"
    path.mkdir()
    for split, num in (("train", 30), ("test", 4)):
        rows = ({"text": f"{split} {index}", "title": f"t{index}", "number": index} for index in range(num))
        (path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(uri: str) -> list[str]:
    return [document.text for document in read_source(uri)]


def test_a_split_is_read_row_by_row(folder: Path) -> None:
    assert texts(f"hf:{folder}:train") == [f"train {index}" for index in range(30)]
    assert texts(f"hf:{folder}:test") == [f"test {index}" for index in range(4)]
    (document, *_) = read_source(f"hf:{folder}:test")
    assert document.name == f"hf:{folder}:test:0"


def test_field_and_number_of_documents_may_be_chosen(folder: Path) -> None:
    assert texts(f"hf:{folder}:train?field=title&max_documents=3") == ["t0", "t1", "t2"]
    assert len(texts(f"hf:{folder}:test?max_documents=100")) == 4


def test_a_downloaded_data_set_is_the_same(folder: Path) -> None:
    assert texts(f"hf:{folder}:train?download=true") == texts(f"hf:{folder}:train")
    assert list((folder.parent / "cache").iterdir())


def test_parquet_is_read_too(folder: Path, tmp_path: Path) -> None:
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    (tmp_path / "columns").mkdir()
    parquet.write_table(pyarrow.table({"text": ["one", "two"]}), tmp_path / "columns" / "train-00000.parquet")
    assert texts(f"hf:{tmp_path}/columns:train") == ["one", "two"]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (":trian", r"Cannot read hf:.*:trian: .*Bad split: trian\. Available splits"),
        (":train?config=small", r"BuilderConfig 'small' not found\. Available: \['default'\]"),
        (":train?field=txt", r"row 0 has no field 'txt'\. Did you mean 'text'\?"),
        (":train?field=number", r"'number' must be a string; .* holds int"),
        ("", "Name it and its split"),
        (":train?feild=x", "unknown option 'feild'.* Did you mean 'field'"),
        (":train?field=", "gives field no value"),
        (":train?max_documents=many", "whole number of at least 1; got 'many'"),
        (":train?download=yes", "true or false; got 'yes'"),
    ],
)
def test_what_is_not_there_is_one_error(end: str, words: str, folder: Path) -> None:
    with pytest.raises(DataError, match=words):
        texts(f"hf:{folder}{end}")


def test_a_folder_without_data_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read hf:/.*nowhere:train"):
        texts(f"hf:{tmp_path}/nowhere:train")


def test_a_row_that_cannot_be_read_is_one_error(folder: Path) -> None:
    with (folder / "test.jsonl").open("a") as file:
        file.write("{broken\n")
    with pytest.raises(DataError, match=r"Cannot read hf:.*:test: "):
        texts(f"hf:{folder}:test")


def test_without_a_network_it_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("datasets.config.HF_HUB_OFFLINE", "huggingface_hub.constants.HF_HUB_OFFLINE"):
        monkeypatch.setattr(name, True)
    with pytest.raises(DataError, match=r"Cannot read hf:nobody/nothing:train: .* one of the hub needs the network"):
        texts("hf:nobody/nothing:train")


def test_a_missing_library_names_what_installs_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, "datasets", None)
    with pytest.raises(UnavailableError, match=r"pip install 'hybridnas\[data\]'"):
        texts(f"hf:{folder}:train")


def test_the_third_part_of_a_name_on_the_hub_is_its_configuration() -> None:
    found = HubDataset.parse("hf:Salesforce/wikitext/wikitext-2-raw-v1:train")
    assert (found.name, found.config, found.split) == ("Salesforce/wikitext", "wikitext-2-raw-v1", "train")
    found = HubDataset.parse("hf:squad:validation?config=plain_text")
    assert (found.name, found.config, found.split) == ("squad", "plain_text", "validation")


def test_paths_become_absolute_and_names_do_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert absolute_dataset("hf:pages:train?field=title") == f"hf:{folder}:train?field=title"
    assert texts("hf:./pages:test") == texts(absolute_uri("hf:./pages:test"))
    assert absolute_uri("hf:owner/name:train") == "hf:owner/name:train"
    assert absolute_uri("file:*.txt?field=a") == f"file:{folder.parent}/*.txt?field=a"
    assert absolute_uri("tokens:shards") == f"tokens:{folder.parent}/shards"
    for uri in ("stdlib", "file:/a.txt", "file:", "other"):
        assert absolute_uri(uri) == uri


def test_tokens_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Name the source they were prepared from"):
        texts(f"tokens:{tmp_path}")
