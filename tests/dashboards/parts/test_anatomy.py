import pytest

from dashboards.elements import element
from dashboards.markup import to_html
from dashboards.parts.anatomy import anatomy, operators_table
from search_spaces import Architecture, architecture_from_pattern, load_reference


def html_of(architecture):
    return to_html(element("div", *anatomy(architecture)))


def test_a_stage_shows_its_block_once_and_how_often_it_stands():
    text = html_of(architecture_from_pattern("(d f m2 f)x3 a f", hidden_size=1024, vocab_size=256))
    assert 'aria-label="d f m2 f, 3 times, 1–12"' in text
    assert 'aria-label="a f, 13–14"' in text
    assert text.count("× 3") == 1
    assert "2 stages, 1 of them repeated" in text


def test_distinct_operators_are_counted_with_their_dimensions_and_places():
    text = to_html(operators_table(architecture_from_pattern("(m2 f)x3 a f", hidden_size=1024, vocab_size=256)))
    assert '<td>FFN: 3,072 wide, swiglu</td><td class="number">4</td><td class="where">2, 4, … 8</td>' in text
    assert text.index("FFN") < text.index("Mamba2") < text.index("attention")


def test_places_in_a_row_are_written_as_a_span():
    text = to_html(operators_table(architecture_from_pattern("f f f a f", hidden_size=1024, vocab_size=256)))
    assert '<td class="where">1–3, 5</td>' in text


def test_repetitions_whose_dimensions_differ_say_all_of_them():
    content = architecture_from_pattern("(m2 f)x2", hidden_size=1024, vocab_size=256).to_dict()
    content["operators"][3]["intermediate_size"] = 64
    text = html_of(Architecture.from_dict(content))
    assert "FFN: 3,072 wide, swiglu\nFFN: 64 wide, swiglu" in text


@pytest.mark.parametrize("name", ["nemotron-flash-1b", "nemotron-h-56b", "hymba-1.5b"])
def test_published_architectures_are_drawn_in_full(name):
    architecture = load_reference(name)
    text = html_of(architecture)
    assert f"{architecture.depth} operators" in text
    assert architecture.pattern in text


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("m2 f a f", "no block is repeated"),
        ("(a f)x3", "1 block, repeated"),
        ("(a f)x3 (m2 f)x2", "2 stages, all of them repeated"),
    ],
)
def test_the_outline_says_what_repeats(pattern, words):
    assert words in html_of(architecture_from_pattern(pattern, hidden_size=1024, vocab_size=256))


def test_an_architecture_without_repetition_is_drawn_once():
    text = html_of(architecture_from_pattern("m2 f a f", hidden_size=1024, vocab_size=256))
    assert "Written out" not in text
    assert text.count('role="img"') == 1
