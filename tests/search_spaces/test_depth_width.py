from typing import Any

import numpy as np
import pytest

from search_spaces import DepthWidthGenome, DepthWidthSpace, SpecError, load_preset

SPACE = DepthWidthSpace(depths=(24, 6, 12), hidden_sizes=(128, 64), vocab_size=256)


def test_a_genome_decodes_to_its_block_repeated() -> None:
    architecture = SPACE.decode(DepthWidthGenome(6, 128))
    assert architecture.pattern == "(a f)x6"
    assert architecture.hidden_size == 128


def test_a_mutation_goes_to_a_neighbour_on_the_grid() -> None:
    rng = np.random.default_rng(0)
    assert {SPACE.mutate(DepthWidthGenome(12, 64), rng=rng) for _ in range(60)} == {
        (DepthWidthGenome(6, 64), "depth 12 → 6 blocks"),
        (DepthWidthGenome(24, 64), "depth 12 → 24 blocks"),
        (DepthWidthGenome(12, 128), "width 64 → 128"),
    }


def test_a_grid_of_one_point_says_that_nothing_can_change() -> None:
    space = DepthWidthSpace(depths=(6,), hidden_sizes=(64,), vocab_size=256)
    assert space.mutate(DepthWidthGenome(6, 64), rng=np.random.default_rng(0))[1] == "nothing to change"


def test_a_child_has_the_depth_of_one_parent_and_the_width_of_the_other() -> None:
    rng = np.random.default_rng(0)
    first, second = DepthWidthGenome(6, 128), DepthWidthGenome(24, 64)
    assert {SPACE.crossover(first, second, rng=rng) for _ in range(30)} == {
        DepthWidthGenome(6, 64),
        DepthWidthGenome(24, 128),
    }


def test_points_off_the_grid_are_not_contained() -> None:
    assert SPACE.contains(DepthWidthGenome(6, 64))
    assert not SPACE.contains(DepthWidthGenome(7, 64))
    assert not SPACE.contains(DepthWidthGenome(6, 96))
    assert not SPACE.contains((6, 64))


def test_the_preset_has_the_depths_of_the_paper() -> None:
    assert load_preset("depth-width-llama").depths == (6, 12, 18, 24, 30)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depths": ()}, "depths must hold at least one positive integer"),
        ({"depths": (0,)}, "depths must hold at least one positive integer"),
        ({"block": "a ffn"}, "Write 'f' for ffn"),
        ({"block": ["a", "f"]}, "block must be a pattern"),
        ({"hidden_sizes": (100,)}, "Nearest: 64, 128"),
    ],
)
def test_an_impossible_grid_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        DepthWidthSpace(**{"depths": (6,), "hidden_sizes": (64,), "vocab_size": 256, **changes})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "mapping", [{"num_blocks": 6}, {"num_blocks": 6, "width": 64}, {"num_blocks": 6.0, "hidden_size": 64}]
)
def test_reading_a_genome_is_strict(mapping: Any) -> None:
    with pytest.raises(SpecError, match=r"depth-width genome"):
        SPACE.from_dict(mapping)
