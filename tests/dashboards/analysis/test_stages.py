import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.analysis.stages import stages_of
from search_spaces import load_reference, parse_pattern, reference_names


@pytest.mark.parametrize(
    ("pattern", "stages"),
    [
        ("(d f m2 f)x3", [(0, "d f m2 f", 3)]),
        ("a f (m2 f)x4 w", [(0, "a f", 1), (2, "m2 f", 4), (10, "w", 1)]),
        ("m2 f a f", [(0, "m2 f a f", 1)]),
    ],
)
def test_stages_are_the_blocks_that_repeat_and_what_stands_between(pattern, stages):
    found = stages_of(parse_pattern(pattern))
    assert [(stage.start, " ".join(stage.block), stage.times) for stage in found] == stages


@given(st.lists(st.sampled_from(["a", "m2", "d", "f", "fla:kda"]), min_size=1, max_size=40))
def test_the_stages_written_out_are_the_architecture(letters):
    stages = stages_of(letters)
    assert [letter for stage in stages for letter in stage.block * stage.times] == letters
    assert [stage.start for stage in stages] == [
        sum(before.num_operators for before in stages[:index]) for index in range(len(stages))
    ]


@pytest.mark.parametrize("name", reference_names())
def test_published_architectures_have_stages(name):
    architecture = load_reference(name)
    assert sum(stage.num_operators for stage in stages_of(architecture.letters)) == architecture.depth


def test_the_positions_of_a_block_s_place_are_those_of_its_repetitions():
    _, stage = stages_of(parse_pattern("a f (m2 f)x3"))
    assert list(stage.positions(1)) == [3, 5, 7]
