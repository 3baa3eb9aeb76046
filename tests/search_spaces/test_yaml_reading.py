import pytest

from search_spaces import SpecError
from search_spaces.yaml_reading import read_yaml


def test_a_mapping_is_read() -> None:
    assert read_yaml("a: 1\nb: [x, 2.5]\n", where="f.yaml") == {"a": 1, "b": ["x", 2.5]}


@pytest.mark.parametrize(("text", "value"), [("1e-5", 1e-5), ("1E+6", 1e6), ("-2.5e3", -2500.0), ("1.0e-6", 1e-6)])
def test_scientific_notation_is_a_number(text: str, value: float) -> None:
    assert read_yaml(f"eps: {text}", where="f.yaml") == {"eps": value}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "f.yaml, line 3: the key 'a' was given in line 1 already"),
        ("outer:\n  a: 1\n  a: 1\n", "line 3: the key 'a' was given in line 2"),
        ("1: x", "line 1: a key must be a word; got 1"),
        ("[1, 2]", "f.yaml must hold a mapping of names to values; got list"),
        ("", "got NoneType"),
        ("a: [1", "f.yaml must be YAML"),
        ("a: !!python/object:os.system x", "f.yaml must be YAML"),
    ],
)
def test_what_is_no_plain_mapping_is_refused(text: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_yaml(text, where="f.yaml")
    assert words in str(caught.value)
