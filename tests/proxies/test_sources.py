import sysconfig
from pathlib import Path

import pytest

from proxies.errors import DataError
from proxies.sources import read_source


@pytest.fixture(scope="module")
def library_names() -> list[str]:
    return [document.name for document in read_source("stdlib")]


def test_the_standard_library_is_real_python_source(library_names: list[str]) -> None:
    assert {"dataclasses.py", "asyncio/base_events.py", "json/decoder.py"} <= set(library_names)
    assert sum(len(document.text) for document in read_source("stdlib")) > 5_000_000


def test_the_standard_library_comes_without_tests_and_without_files_of_this_machine(library_names: list[str]) -> None:
    parts = {part for name in library_names for part in name.split("/")}
    assert not parts & {"test", "tests", "idle_test", "site-packages", "__pycache__"}
    assert not [part for part in parts if part.startswith(("_sysconfigdata", "config-"))]


def test_the_standard_library_has_one_order_that_is_not_alphabetical(library_names: list[str]) -> None:
    assert library_names == [document.name for document in read_source("stdlib")]
    assert library_names != sorted(library_names)


def test_a_python_without_library_source_is_told_to_use_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(DataError, match=r"no source of its standard library at .* Use a file: source"):
        list(read_source("stdlib"))


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("stdlb", "Did you mean 'stdlib'"),
        ("fil:x.txt", "Did you mean 'file:'"),
        ("http://x", "'stdlib', 'file:PATH' or 'hf:NAME:SPLIT'"),
        ("file:", "Name the file"),
        ("file:x.jsonl?field=", "Name the file"),
        ("file:x.jsonl?feild=text", "unknown option 'feild'.* Did you mean 'field'"),
    ],
)
def test_a_misspelt_source_is_told_what_is_meant(uri: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        list(read_source(uri))
    assert caught.value.exit_code == 3


def test_a_bare_path_is_told_its_uri(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    with pytest.raises(DataError, match=f"write 'file:{path}'"):
        list(read_source(str(path)))


def test_a_glob_reads_matching_files_in_order_of_path(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md", "deep/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"I am {name}")
    texts = [document.text for document in read_source(f"file:{tmp_path}/*.txt")]
    assert texts == ["I am a.txt", "I am b.txt"]
    assert len(list(read_source(f"file:{tmp_path}/**/*.txt"))) == 3


def test_a_folder_reads_every_file_of_a_known_format(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "b.txt").write_text("three")
    (tmp_path / "c.png").write_bytes(b"\x89PNG")
    assert [document.text for document in read_source(f"file:{tmp_path}")] == ["three", "one", "two"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("brackets")
    (tmp_path / "a1.txt").write_text("no brackets")
    assert [document.text for document in read_source(f"file:{tmp_path}/a[1].txt")] == ["brackets"]


def test_paths_may_be_relative_or_full_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("here")
    monkeypatch.chdir(tmp_path)
    for uri in ("file:a.txt", "file:*.txt", f"file://{tmp_path}/a.txt"):
        assert [document.text for document in read_source(uri)] == ["here"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.txt", "There is no file .*none.txt"),
        ("none", "There is no file or folder .*none"),
        ("*.txt", r"No file matches .*\*.txt"),
        ("", "holds no file that ends"),
    ],
)
def test_nothing_at_the_path_is_an_error(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        list(read_source(f"file:{tmp_path}/{name}"))
