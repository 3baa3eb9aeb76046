import pytest

from search_spaces import FreeBlocks, architecture_from_pattern, load_preset, load_reference, parse_pattern
from search_spaces.encoding import stages_of

FREE = FreeBlocks(mixers=("a", "m2", "d"), max_mixers=4)


def stages(pattern: str, *, num_stages: int = 3, max_repeats: int = 30) -> list[str] | None:
    found = stages_of(parse_pattern(pattern), blocks=FREE, num_stages=num_stages, max_repeats=max_repeats)
    return None if found is None else [f"{' '.join(stage.block.letters)} x{stage.repeats}" for stage in found]


def test_the_fewest_stages_are_found() -> None:
    assert stages("(a f)x12") == ["a f x12"]
    assert stages("(d f m2 f a f m2 f)x2 (d f m2 f)x2") == ["d f m2 f a f m2 f x2", "d f m2 f x2"]


def test_limits_on_stages_and_repeats_are_kept() -> None:
    assert stages("(a f)x6 (d f)x6 (m2 f)x6 (a f)x6", num_stages=3) is None
    assert stages("(a f)x6", max_repeats=2) == ["a f a f a f x2"]


@pytest.mark.parametrize("pattern", ["f a", "a f f f", "w f"])
def test_what_the_grammar_cannot_spell_has_no_stages(pattern: str) -> None:
    assert stages(pattern) is None


def test_an_architecture_of_other_dimensions_has_no_genome() -> None:
    space = load_preset("flash-1b-decode-relaxed")
    assert space.encode(load_reference("qwen3-1.7b")) is None
    assert space.encode(architecture_from_pattern("(a f)x4", hidden_size=2048, vocab_size=256)) is None
    assert space.encode(load_reference("nemotron-h-8b")) is None
