import json

import pytest

from dashboards.analysis.selection import frontier
from dashboards.elements import Element
from dashboards.markup import to_html
from dashboards.parts.architecture import describe_operator, frontier_strips, strip
from dashboards.view import View
from search_spaces import Architecture, Dimensions, architecture_from_pattern


def elements_of(node, class_name):
    if not isinstance(node, Element):
        return []
    own = [node] if class_name in node.attributes.get("class", "").split() else []
    return own + [found for child in node.children for found in elements_of(child, class_name)]


@pytest.mark.parametrize(
    ("pattern", "density"),
    [("a f m2 f", "roomy"), ("(a f)x28", "tight"), ("(m2 f m2 f m2 f a)x16 m2 f m2 f m2 f", "dense")],
)
def test_a_strip_has_one_cell_an_operator_in_order(pattern, density):
    architecture = architecture_from_pattern(pattern, hidden_size=1024, vocab_size=256)
    drawn = strip(architecture)
    assert tuple(cell.children[0] for cell in elements_of(drawn, "cell")) == architecture.letters
    assert density in drawn.attributes["class"].split()


def test_meta_tokens_and_head_stand_at_the_ends():
    def ends(architecture):
        return [end.children[0] for end in elements_of(strip(architecture), "end")]

    tied = architecture_from_pattern("a f", hidden_size=1024, vocab_size=256, num_meta_tokens=128)
    untied = architecture_from_pattern("a f", hidden_size=1024, vocab_size=256, tie_embeddings=False)
    assert ends(tied) == ["128 meta", "tied head"]
    assert ends(untied) == ["own head"]


@pytest.mark.parametrize(
    ("letter", "words"),
    [
        ("a", "heads of 128"),
        ("w", "window 512"),
        ("m1", "inner width 2,048"),
        ("m2", "state 128"),
        ("d", "heads of 128"),
        ("f", "3,072 wide, swiglu"),
        ("hh", "beside Mamba2"),
    ],
)
def test_operators_are_described_with_their_dimensions(letter, words):
    assert words in describe_operator(Dimensions().operator(letter, hidden_size=1024))


def test_shared_keys_and_values_name_the_operator_they_come_from():
    content = architecture_from_pattern("a f a", hidden_size=1024, vocab_size=256).to_dict()
    content["operators"][2]["shares_kv_with"] = 0
    shared = Architecture.from_dict(content).operators[2]
    assert describe_operator(shared).endswith("reads the keys and values of operator 1")


def test_every_frontier_candidate_has_a_row_from_cheap_to_dear(results):
    rows = elements_of(frontier_strips(results, View()), "strip-row")
    names = [to_html(elements_of(row, "name")[0]) for row in rows]
    numbers = frontier(results)["number"].tolist()
    assert len(names) == len(numbers) > 5
    assert all(f"#{number}</a>" in name for number, name in zip(numbers, names, strict=True))


def test_candidates_that_are_no_language_models_get_a_line_instead(foreign_results):
    assert "No frontier candidate has an architecture" in to_html(frontier_strips(foreign_results, View()))


def test_the_legend_explains_exactly_the_letters_that_occur(results):
    drawn = frontier_strips(results, View())
    explained = {cell.children[0] for entry in elements_of(drawn, "entry") for cell in elements_of(entry, "cell")}
    architectures = [Architecture.from_dict(json.loads(text)) for text in frontier(results)["architecture"]]
    used = {letter for architecture in architectures for letter in architecture.letters}
    assert explained == used
