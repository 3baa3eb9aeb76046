from collections.abc import Callable, Set
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Block, FreeBlocks, RatioBlocks, SpecError, Unit, parse_pattern

PAPER = RatioBlocks(mixers=("w", "m2", "d"))
FREE = FreeBlocks(mixers=("a", "m2", "d"), max_mixers=3)
GRAMMARS = [PAPER, FREE, RatioBlocks(mixers=("a",)), FreeBlocks(mixers=("d",), max_mixers=1, ffns_per_mixer=(1,))]
seeds = st.integers(0, 2**32 - 1)


def block(text: str) -> Block:
    return Block.from_letters(parse_pattern(text))


def all_paper_blocks() -> Set[Block]:
    single = {Block((Unit(kind, ffns),)) for kind, ffns in product(PAPER.mixers, (0, 1, 2))}
    double = {
        Block((Unit(first, ffns), *(Unit(second, ffns),) * times))
        for (first, second), times, ffns in product(permutations(PAPER.mixers, 2), (1, 2, 3), (0, 1, 2))
    }
    return single | double


def test_the_paper_has_63_blocks_and_sampling_finds_them_all() -> None:
    rng = np.random.default_rng(0)
    expected = all_paper_blocks()
    assert len(expected) == 63
    assert {PAPER.sample(rng=rng) for _ in range(3000)} == expected
    assert all(PAPER.contains(one) for one in expected)


@pytest.mark.parametrize(
    "text",
    ["a", "w m2 d", "w f m2", "w w m2", "m2 w m2", "d d", "m2 w w w w", "d f f f", "d f m2 f a f m2 f", "m1 f"],
)
def test_other_blocks_are_not_the_papers(text: str) -> None:
    assert not PAPER.contains(block(text))


@pytest.mark.parametrize("text", ["a", "d f m2 f", "m2 m2 m2", "a f f d m2 f"])
def test_free_blocks_are_any_short_sequence(text: str) -> None:
    assert FREE.contains(block(text))


@pytest.mark.parametrize("text", ["a d m2 a", "w", "a f f f"])
def test_free_blocks_keep_their_limits(text: str) -> None:
    assert not FREE.contains(block(text))


@pytest.mark.parametrize("grammar", GRAMMARS)
@given(seed=seeds)
def test_every_sample_and_every_neighbour_is_in_the_grammar(grammar: RatioBlocks | FreeBlocks, seed: int) -> None:
    sample = grammar.sample(rng=np.random.default_rng(seed))
    assert grammar.contains(sample)
    assert sample.size in grammar.sizes
    for moves in (grammar.operator_moves, grammar.ratio_moves, grammar.ffn_moves):
        for neighbour, words in moves(sample):
            assert grammar.contains(neighbour)
            assert neighbour.size in grammar.sizes
            assert neighbour != sample
            assert words


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_the_sizes_are_exactly_those_of_samples(grammar: RatioBlocks | FreeBlocks) -> None:
    rng = np.random.default_rng(1)
    assert {grammar.sample(rng=rng).size for _ in range(3000)} == grammar.sizes


@pytest.mark.parametrize("grammar", [PAPER, FREE])
@given(seed=seeds)
def test_an_operator_move_replaces_kinds_only(grammar: RatioBlocks | FreeBlocks, seed: int) -> None:
    before = grammar.sample(rng=np.random.default_rng(seed))
    for after, _ in grammar.operator_moves(before):
        assert [unit.num_ffns for unit in after.units] == [unit.num_ffns for unit in before.units]
        kinds = {
            (old.mixer, new.mixer) for old, new in zip(before.units, after.units, strict=True) if old.mixer != new.mixer
        }
        assert len(kinds) == 1


@pytest.mark.parametrize("grammar", [PAPER, FREE])
@given(seed=seeds)
def test_an_ffn_move_leaves_the_mixers(grammar: RatioBlocks | FreeBlocks, seed: int) -> None:
    before = grammar.sample(rng=np.random.default_rng(seed))
    for after, words in grammar.ffn_moves(before):
        assert [unit.mixer for unit in after.units] == [unit.mixer for unit in before.units]
        assert words.startswith("FFNs ")


@given(seed=seeds)
def test_a_ratio_move_of_the_paper_keeps_ffns_and_at_least_one_kind(seed: int) -> None:
    before = PAPER.sample(rng=np.random.default_rng(seed))
    for after, words in PAPER.ratio_moves(before):
        assert after.units[0].num_ffns == before.units[0].num_ffns
        assert {unit.mixer for unit in after.units} & {unit.mixer for unit in before.units}
        assert words.startswith("ratio ")


def test_moves_say_what_changed() -> None:
    assert dict(PAPER.ratio_moves(block("m2 f d f"))) == {
        block("m2 f"): "ratio 1:1 → 0:1",
        block("d f"): "ratio 1:1 → 0:1",
        block("m2 f d f d f"): "ratio 1:1 → 1:2",
        block("m2 f d f d f d f"): "ratio 1:1 → 1:3",
    }
    assert dict(PAPER.ratio_moves(block("d")))[block("m2 d")] == "ratio 0:1 → 1:1 with mamba2"
    assert dict(PAPER.operator_moves(block("m2 d")))[block("m2 w")] == "deltanet → sliding-window attention"
    assert dict(FREE.ratio_moves(block("a f d"))) | {block("d a f"): "swap attention and deltanet"} == dict(
        FREE.ratio_moves(block("a f d"))
    )
    assert dict(FREE.ffn_moves(block("a f d")))[block("a d")] == "FFNs after attention 1 → 0"


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: FreeBlocks(mixers=()), "at least one letter"),
        (lambda: RatioBlocks(mixers=("a", "a")), "each once"),
        (lambda: FreeBlocks(mixers=("a", "f")), "FFNs are counted by ffns_per_mixer"),
        (lambda: FreeBlocks(mixers=("a", "mamba2")), "Write 'm2' for mamba2"),
        (lambda: FreeBlocks(mixers="a"), "must be a list of letters"),
        (lambda: FreeBlocks(mixers=None), "must be a list of letters"),
        (lambda: FreeBlocks(mixers=("a",), max_mixers=0), "max_mixers must be a positive integer; got 0"),
        (lambda: FreeBlocks(mixers=("a",), ffns_per_mixer=(-1,)), "count of 0 or more"),
        (lambda: FreeBlocks(mixers=("a",), ffns_per_mixer=()), "count of 0 or more"),
        (lambda: RatioBlocks(mixers=("a", "d"), ratios=((1, 0),)), "n >= 1; got [1, 0]"),
        (lambda: RatioBlocks(mixers=("a", "d"), ratios=()), "at least one ratio"),
        (lambda: RatioBlocks(mixers=("a", "d"), ratios=(1, 3)), "must be pairs such as"),
        (lambda: RatioBlocks(mixers=("a",), ratios=((1, 1),)), "needs two"),
    ],
)
def test_an_impossible_grammar_is_refused(build: Callable[..., Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        build()
    assert words in str(caught.value)
