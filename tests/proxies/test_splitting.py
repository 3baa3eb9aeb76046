import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxies.file_formats import Document
from proxies.splitting import SplitTexts, split_documents


def split(texts: list[str], *, fraction: float = 0.2, max_bytes: int | None = None) -> SplitTexts:
    documents = [Document(name=f"{index}.txt", text=text) for index, text in enumerate(texts)]
    return split_documents(documents, validation_fraction=fraction, max_bytes=max_bytes)


def sides(texts: list[str]) -> tuple[set[str], set[str]]:
    result = split(texts)
    return {text.text for text in result.train}, {text.text for text in result.validation}


NUMBERS = [f"document number {index}\n" * 5 for index in range(200)]


def test_about_the_wanted_share_validates() -> None:
    result = split(NUMBERS, fraction=0.2)
    share = sum(text.num_bytes for text in result.validation) / sum(len(text) for text in NUMBERS)
    assert 0.17 < share <= 0.2


@given(st.lists(st.text(max_size=30), min_size=2, max_size=30))
def test_no_text_is_on_both_sides_and_none_is_lost(texts: list[str]) -> None:
    distinct = {text for text in texts if text}
    if len(distinct) < 2:
        return
    train, validation = sides(texts)
    assert not train & validation
    assert train | validation == distinct
    assert validation


def test_a_side_depends_on_content_not_on_name_or_order() -> None:
    assert sides(NUMBERS) == sides(NUMBERS[::-1])


def test_equal_documents_are_one_document() -> None:
    result = split([*NUMBERS, *NUMBERS[:50], ""])
    assert result.num_duplicates == 50
    assert len(result.train) + len(result.validation) == 200


def test_where_every_document_is_larger_than_the_share_the_smallest_validates() -> None:
    result = split(["a" * 100, "b" * 90, "c" * 95], fraction=0.05)
    assert [text.text for text in result.validation] == ["b" * 90]


def test_a_single_document_is_validated_by_its_end_from_a_line_break_on() -> None:
    lines = "".join(f"line {index}\n" for index in range(100, 200))
    result = split([lines, lines], fraction=0.1)
    assert result.is_one_document
    assert result.num_duplicates == 1
    assert result.train[0].text + result.validation[0].text == lines
    assert result.validation[0].text.startswith("line 190")


def test_a_single_document_without_line_breaks_is_cut_where_asked() -> None:
    result = split(["start\n" + "x" * 994], fraction=0.1)
    assert result.validation[0].text == "x" * 100


@pytest.mark.parametrize("max_bytes", [1, 50, 1000, 10**9])
def test_reading_stops_at_the_byte_limit(max_bytes: int) -> None:
    result = split([f"{index:03d} müßig " * 3 for index in range(30)], max_bytes=max_bytes)
    num_bytes = sum(text.num_bytes for text in [*result.train, *result.validation])
    whole = sum(len((f"{index:03d} müßig " * 3).encode()) for index in range(30))
    # A character of two bytes is not cut in half.
    assert min(max_bytes, whole) - 1 <= num_bytes <= min(max_bytes, whole)


def test_nothing_gives_nothing() -> None:
    result = split(["", ""])
    assert not result.train
    assert not result.validation
