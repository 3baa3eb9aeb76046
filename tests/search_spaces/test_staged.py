import re
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import (
    Block,
    Dimensions,
    FreeBlocks,
    RatioBlocks,
    SpecError,
    Stage,
    StagedGenome,
    StagedSpace,
    Unit,
    load_preset,
    load_reference,
)

PAPER = load_preset("flash-1b-decode")
RELAXED = load_preset("flash-1b-decode-relaxed")
QUICK = load_preset("quick-cpu")
seeds = st.integers(0, 2**32 - 1)


def tiny(**changes: Any) -> StagedSpace:
    arguments: dict[str, Any] = {
        "blocks": FreeBlocks(mixers=("a", "m2"), max_mixers=2, ffns_per_mixer=(0, 1)),
        "hidden_sizes": (64,),
        "vocab_size": 256,
        "num_stages": 2,
        "max_repeats": 2,
        "max_operators": 5,
    }
    return StagedSpace(**{**arguments, **changes})


def read(pattern: str, *, hidden_size: int = 2048) -> StagedGenome:
    return StagedGenome.from_pattern(pattern, hidden_size=hidden_size)


def changed_blocks(before: StagedGenome, after: StagedGenome) -> list[int]:
    return [
        index
        for index, (old, new) in enumerate(zip(before.stages, after.stages, strict=True))
        if old.block != new.block
    ]


def total_after_losing(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Whether repeats were lost from the last stage first, each down to one before an earlier one lost any."""
    losers = [index for index, (old, new) in enumerate(zip(before, after, strict=True)) if new < old]
    return not losers or all(after[index] == 1 for index in range(losers[0] + 1, len(after)))


@pytest.mark.parametrize("space", [PAPER, RELAXED, QUICK, tiny()])
@given(seed=seeds)
def test_a_mutation_changes_exactly_one_factor(space: StagedSpace, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = space.sample(rng=rng)
    after, words = space.mutate(before, rng=rng)
    if words.startswith("width "):
        assert after.stages == before.stages
        assert words == f"width {before.hidden_size} → {after.hidden_size}"
        return
    assert after.hidden_size == before.hidden_size
    if words.startswith("repeats "):
        assert {stage.block for stage in after.stages} <= {stage.block for stage in before.stages}
        assert max(map(int, re.findall(r"\d+", words))) <= space.max_repeats
        said = words.rpartition("→ ")[2].partition(", stage")[0]
        assert tuple(int(count) for count in said.split(",") if count != "0") == after.repeats
        return
    (index,) = changed_blocks(before, after)
    assert words.startswith(f"stage {index + 1}: ")
    old, new = before.stages[index].block, after.stages[index].block
    mixers_changed = [unit.mixer for unit in old.units] != [unit.mixer for unit in new.units]
    assert mixers_changed != ("FFNs " in words)
    assert total_after_losing(before.repeats, after.repeats)
    if after.repeats != before.repeats:
        assert words.endswith(f", repeats {','.join(map(str, before.repeats))} → {','.join(map(str, after.repeats))}")


def test_every_factor_is_mutated() -> None:
    rng = np.random.default_rng(0)
    genome = read("(w f m2 f)x2 (d f)x3")
    seen = {space_words(PAPER.mutate(genome, rng=rng)[1]) for _ in range(300)}
    assert seen == {"operator", "ratio", "FFNs", "repeats"}
    genome = read("(a f m2 f)x2 (d f)x3")
    seen = {space_words(RELAXED.mutate(genome, rng=rng)[1]) for _ in range(300)}
    assert seen == {"operator", "order", "FFNs", "repeats", "width"}


def space_words(words: str) -> str:
    first = words.split(": ")[-1].split(" ")[0]
    if first in ("insert", "remove", "swap"):
        return "order"
    return first if first in ("ratio", "FFNs", "repeats", "width") else "operator"


def test_a_mutated_block_that_grows_too_long_costs_the_last_stage_its_repeats() -> None:
    space = tiny(blocks=FreeBlocks(mixers=("a",), max_mixers=1, ffns_per_mixer=(0, 1)), max_repeats=4, max_operators=8)
    rng = np.random.default_rng(0)
    outcomes = {space.mutate(read("(a f)x3 (a)x2", hidden_size=64), rng=rng) for _ in range(200)}
    shorter = read("(a f)x3 (a f)x1", hidden_size=64)
    assert (shorter, "stage 2: FFNs after attention 0 → 1, repeats 3,2 → 3,1") in outcomes


def test_mutation_reaches_every_architecture_of_a_small_space() -> None:
    space = tiny()
    units = [Unit(mixer, ffns) for mixer, ffns in product(("a", "m2"), (0, 1))]
    blocks = [Block((unit,)) for unit in units] + [Block(pair) for pair in product(units, units)]
    stages = [Stage(block, repeats) for block, repeats in product(blocks, (1, 2))]
    everything = {(stage,) for stage in stages} | set(product(stages, stages))
    expected = {
        genome.letters
        for chosen in everything
        if space.contains(genome := StagedGenome(64, chosen)) and genome.depth <= 5
    }
    rng = np.random.default_rng(0)
    genome = space.sample(rng=rng)
    reached = {genome.letters}
    for _ in range(100_000):
        genome, _ = space.mutate(genome, rng=rng)
        reached.add(genome.letters)
        if len(reached) == len(expected):
            break
    assert reached == expected


def test_samples_cover_the_depths_evenly_and_fill_every_stage() -> None:
    rng = np.random.default_rng(0)
    genomes = [PAPER.sample(rng=rng) for _ in range(2000)]
    depths = np.array([genome.depth for genome in genomes])
    assert {len(genome.stages) for genome in genomes} == {1, 2, 3}
    assert 0.2 < np.mean(depths <= 12) < 0.4
    assert 0.15 < np.mean(depths > 24) < 0.35
    three = np.array([genome.repeats for genome in genomes if len(genome.stages) == 3], dtype=float)
    assert three.mean(axis=0).max() < 1.5 * three.mean(axis=0).min()


def test_the_winners_lie_in_the_relaxed_space_and_not_in_the_papers() -> None:
    latency_winner = read("(d f m2 f a f m2 f)x2 (d f m2 f)x2")
    parameter_winner = read("(m2 f a f a f d)x3 (m2 f a f d f f)x1", hidden_size=1024)
    for winner in (latency_winner, parameter_winner):
        assert RELAXED.contains(winner)
        assert not PAPER.contains(winner)
    assert RELAXED.decode(latency_winner) == load_reference("nemotron-flash-1b")
    assert RELAXED.encode(load_reference("nemotron-flash-1b")) == latency_winner


@pytest.mark.parametrize(
    "outside",
    [
        read("(w f m2 f)x8"),
        read("(w)x1"),
        read("(a f)x4"),
        read("(w f)x4", hidden_size=1000),
        read("(w f)x1 (d f)x1 (w f)x1 (d f)x1"),
        "(w f)x4",
    ],
)
def test_what_breaks_a_limit_is_not_contained(outside: object) -> None:
    assert not PAPER.contains(outside)
    assert PAPER.contains(read("(w f m2 f)x7"))


def test_a_stage_may_not_repeat_more_often_than_allowed() -> None:
    assert tiny().contains(read("(a)x2 (m2)x2", hidden_size=64))
    assert not tiny().contains(read("(a)x3 (m2)x1", hidden_size=64))


def test_a_space_without_a_width_gene_samples_at_the_largest_width_and_keeps_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        genome = PAPER.sample(rng=rng)
        assert genome.hidden_size == 2560
        narrowed = PAPER.fit(genome, lambda candidate: candidate.hidden_size < 2000)
        assert narrowed == replace(genome, hidden_size=1792)
        assert PAPER.mutate(narrowed, rng=rng)[0].hidden_size == 1792


@given(seed=seeds)
def test_a_child_takes_every_stage_and_the_width_from_its_parents(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = RELAXED.sample(rng=rng), RELAXED.sample(rng=rng)
    child = RELAXED.crossover(first, second, rng=rng)
    assert child.hidden_size in (first.hidden_size, second.hidden_size)
    assert len(child.stages) in (len(first.stages), len(second.stages))
    for index, stage in enumerate(child.stages):
        given_stages = [parent.stages[index] for parent in (first, second) if index < len(parent.stages)]
        assert any(stage.block == one.block and stage.repeats <= one.repeats for one in given_stages)


def test_crossover_prefers_a_child_unlike_both_parents() -> None:
    first, second = read("(a f)x2 (m2 f)x2"), read("(d f)x3 (w f)x3")
    rng = np.random.default_rng(0)
    children = {RELAXED.crossover(first, second, rng=rng).pattern for _ in range(50)}
    assert children == {"(a f)x2 (w f)x3", "(d f)x3 (m2 f)x2"}


def test_a_space_of_one_genome_says_that_nothing_can_change() -> None:
    space = tiny(blocks=RatioBlocks(mixers=("a",), ffns_per_mixer=(1,)), num_stages=1, max_repeats=1, min_operators=2)
    genome = space.sample(rng=np.random.default_rng(0))
    assert space.mutate(genome, rng=np.random.default_rng(0)) == (genome, "nothing to change")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_sizes": (96, 64 + 1)}, "hidden_sizes holds 65, at which no model can be built. The width must be"),
        ({"hidden_sizes": (100,)}, "Nearest: 64, 128"),
        ({"hidden_sizes": ()}, "hidden_sizes must hold at least one positive integer"),
        ({"hidden_sizes": (64, 64)}, "each once"),
        ({"hidden_sizes": 64}, "hidden_sizes must hold at least one positive integer, each once; got 64"),
        (
            {"min_operators": 9},
            "min_operators must not exceed max_operators; got 9 and 5. Set min_operators to at",
        ),
        ({"min_operators": 0}, "min_operators must be a positive integer; got 0"),
        ({"min_operators": 50, "max_operators": 60}, "reach 1 to 16 operators"),
        (
            {"blocks": FreeBlocks(mixers=("a",), max_mixers=1, ffns_per_mixer=(2,)), "max_operators": 2},
            "The limits allow no genome: blocks of [3] operators",
        ),
        ({"num_stages": 0}, "num_stages must be a positive integer; got 0"),
        ({"max_repeats": "2"}, "max_repeats must be a positive integer; got '2'"),
        ({"vocab_size": 0}, "vocab_size must be an integer of at least 1"),
        ({"tie_embeddings": None}, "tie_embeddings must be true or false"),
        ({"width_is_gene": "yes"}, "width_is_gene must be true or false"),
        ({"dimensions": Dimensions(head_dim=48)}, "multiple of head_dim=48; got 64"),
        ({"dimensions": {"head_dim": 64}}, "dimensions must be Dimensions; got dict"),
    ],
)
def test_an_impossible_space_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        tiny(**changes)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"hidden_size": 64, "stage": "(a f)x2"}, "Did you mean 'stages'?"),
        ({"hidden_size": 64}, "lacks stages"),
        ({"hidden_size": "64", "stages": "(a f)x2"}, "needs an integer hidden_size"),
        ({"hidden_size": 64, "stages": "(a q)x2"}, "unknown letter 'q'"),
        ([], "must be a mapping"),
    ],
)
def test_reading_a_genome_is_strict(mapping: Any, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        tiny().from_dict(mapping)
    assert words in str(caught.value)
