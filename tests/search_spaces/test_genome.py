import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Block, SpecError, Stage, StagedGenome, Unit, parse_pattern
from search_spaces.genome import MIXERS

units = st.builds(Unit, st.sampled_from(MIXERS), st.integers(0, 3))
blocks = st.lists(units, min_size=1, max_size=5).map(lambda chosen: Block(tuple(chosen)))
genomes = st.builds(
    StagedGenome,
    st.integers(1, 4096),
    st.lists(st.builds(Stage, blocks, st.integers(1, 9)), min_size=1, max_size=4).map(tuple),
)


@given(blocks)
def test_letters_and_units_of_a_block_say_the_same(block: Block) -> None:
    assert Block.from_letters(block.letters) == block
    assert block.size == len(block.letters)


@given(genomes)
def test_the_pattern_of_a_genome_reads_back_and_spells_its_letters(genome: StagedGenome) -> None:
    assert StagedGenome.from_pattern(genome.pattern, hidden_size=genome.hidden_size) == genome
    assert parse_pattern(genome.pattern) == genome.letters
    assert genome.depth == len(genome.letters)


def test_a_genome_is_written_stage_by_stage() -> None:
    genome = StagedGenome.from_pattern(" (d f m2 f)x2(a f)x1 ", hidden_size=64)
    assert genome.pattern == "(d f m2 f)x2 (a f)x1"
    assert genome.repeats == (2, 1)


@pytest.mark.parametrize("pattern", ["", "d f", "(d f)x2 a", "((d f)x2 a)x2", "(d f)"])
def test_anything_but_counted_groups_is_no_genome(pattern: str) -> None:
    with pytest.raises(SpecError, match="each with its count"):
        StagedGenome.from_pattern(pattern, hidden_size=64)


def test_a_block_begins_with_a_mixer() -> None:
    with pytest.raises(SpecError, match="must begin with a token mixer; got 'f d'"):
        StagedGenome.from_pattern("(f d)x2", hidden_size=64)
    with pytest.raises(SpecError, match="needs a token mixer; got 'f'"):
        Unit("f", 1)


def test_nothing_in_a_genome_may_be_empty() -> None:
    with pytest.raises(SpecError, match="at least one unit"):
        Block(())
    with pytest.raises(SpecError, match="Leave an empty stage out"):
        Stage(Block((Unit("a", 0),)), 0)
    with pytest.raises(SpecError, match="at least one stage"):
        StagedGenome(64, ())
    with pytest.raises(SpecError, match="num_ffns must be at least 0"):
        Unit("a", -1)
