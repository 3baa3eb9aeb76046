import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proxies.errors import DataError
from proxies.file_formats import read_documents

TEXTS = ["plain", "Grüße, 世界 🌍", "two\nlines", 'quote " and \\', ""]


def texts_of(path: Path, *, field: str = "text") -> list[str]:
    return [document.text for document in read_documents(path, field=field)]


def write_parquet(path: Path, texts: Sequence[object], *, field: str = "text", kind: pa.DataType | None = None) -> None:
    pq.write_table(pa.table({"id": pa.array(range(len(texts))), field: pa.array(texts, type=kind)}), path)


def test_a_text_file_is_one_document_with_its_line_ends_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.TXT"
    path.write_bytes("\ufeffa\r\nb".encode())
    assert texts_of(path) == ["a\r\nb"]


def test_jsonl_gives_back_every_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json_line(text) for text in TEXTS) + "\n\n", encoding="utf-8")
    assert texts_of(path) == TEXTS
    assert [document.name for document in read_documents(path, field="text")][2] == f"{path}:3"


def json_line(text: str, *, field: str = "text") -> str:
    return json.dumps({field: text}, ensure_ascii=False)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_parquet_gives_back_every_row(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, TEXTS * 500, kind=kind)
    assert texts_of(path) == TEXTS * 500


def test_the_field_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json_line("body text", field="body"))
    write_parquet(tmp_path / "a.parquet", ["body text"], field="body")
    for suffix in ("jsonl", "parquet"):
        assert texts_of(tmp_path / f"a.{suffix}", field="body") == ["body text"]
        with pytest.raises(DataError, match=r"has no field 'bod'\. Did you mean 'body'.*Known: .*body"):
            texts_of(tmp_path / f"a.{suffix}", field="bod")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"text": "a"}\n{"text": \n', "line 2, column"),
        (b'{"text": "a"}\n[1]\n', "line 2 holds list"),
        (b'{"text": 3}\n', "line 1 holds int"),
        (b'{"text": null}\n', "line 1 holds NoneType"),
        (b'{"text": "\\ud800"}\n', "surrogate pair at character 0 .* line 1"),
        (b'{"text": "a"}\n{"text": "\xff"}\n', "line 2 has the byte 0xff at byte offset 24"),
    ],
)
def test_a_bad_line_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        texts_of(path)


def test_bytes_that_are_not_text_are_named_with_their_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"0123456789\xc3(")
    with pytest.raises(DataError, match=r"a\.txt has the byte 0xc3 at byte offset 10\. Convert"):
        texts_of(path)


def test_parquet_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(path, ["a", None, "c"])
    with pytest.raises(DataError, match="row 1 holds null"):
        texts_of(path)
    write_parquet(path, [1, 2])
    with pytest.raises(DataError, match=r"must hold strings; in .* it holds int64"):
        texts_of(path)
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"no readable parquet file: .*[^.]\.$"):
        texts_of(path)


def test_a_file_of_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x")
    with pytest.raises(DataError, match=r"\.txt, .*\.jsonl, \.parquet; got"):
        texts_of(path)


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "parquet"])
def test_a_missing_file_is_named(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"There is no file .*none\.{suffix}"):
        texts_of(tmp_path / f"none.{suffix}")


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "parquet"])
def test_an_unreadable_file_is_named_with_the_reason(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    path.mkdir()
    with pytest.raises(DataError, match=rf"Cannot read .*a\.{suffix}: .+ Check the file"):
        texts_of(path)
