import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import LETTERS, SpecError, format_pattern, parse_pattern

letters = st.lists(st.sampled_from(sorted(LETTERS)), min_size=1, max_size=40)


@given(letters)
def test_parsing_a_formatted_pattern_gives_the_letters_back(order: list[str]) -> None:
    assert parse_pattern(format_pattern(order)) == tuple(order)


@given(letters, st.integers(1, 5), letters)
def test_a_repeated_group_means_its_letters_written_out(block: list[str], times: int, rest: list[str]) -> None:
    assert parse_pattern(f"({' '.join(block)})x{times} {' '.join(rest)}") == tuple(block * times + rest)


@given(letters)
def test_formatting_never_writes_more_letters_than_there_are(order: list[str]) -> None:
    assert len(format_pattern(order)) <= len(" ".join(order))


def test_groups_nest() -> None:
    assert parse_pattern("((a f)x2 m2)x2") == ("a", "f", "a", "f", "m2") * 2


def test_repetition_is_folded_where_that_is_shorter() -> None:
    assert format_pattern(("a", "f") * 28) == "(a f)x28"
    assert format_pattern(("f", "f")) == "f f"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one operator"),
        ("a q f", "unknown letter 'q'"),
        ("a mamba2", "Write 'm2' for mamba2"),
        ("(a f", "leaves a parenthesis open"),
        ("(a f)", "closes a group without a count"),
        ("a f)x2", "unexpected"),
        ("(a f)x0", "repeats nothing"),
        ("()x3", "repeats nothing"),
        ("(a f)x9999999", "at most 4096"),
        ("a, f", "unexpected ','"),
    ],
)
def test_a_wrong_pattern_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_pattern(text)
    assert words in str(caught.value)
