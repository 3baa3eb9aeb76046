from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import (
    Architecture,
    AttentionSpec,
    Dimensions,
    FFNSpec,
    LayerwiseSpace,
    Mamba2Spec,
    SpecError,
    architecture_from_pattern,
    is_mixer,
    load_preset,
    load_reference,
    reference_names,
)
from search_spaces.specs import kv_source, with_kv_source

WIDE_FFN = FFNSpec(intermediate_size=1000)
ODD_MAMBA = Mamba2Spec(num_heads=3, head_dim=32, state_size=16)
SPACE = LayerwiseSpace(
    hidden_sizes=(64, 128, 192),
    letters=("a", "w", "d", "f"),
    menu=(WIDE_FFN, ODD_MAMBA),
    min_operators=2,
    max_operators=8,
    vocab_size=256,
)
PUBLISHED = load_preset("published")
seeds = st.integers(0, 2**32 - 1)


def build(pattern: str, *, hidden_size: int = 64, **changes: Any) -> Architecture:
    return replace(architecture_from_pattern(pattern, hidden_size=hidden_size, vocab_size=256), **changes)


@pytest.mark.parametrize("name", reference_names())
def test_every_published_architecture_lies_in_the_published_space(name: str) -> None:
    architecture = load_reference(name)
    assert PUBLISHED.contains(architecture)
    assert PUBLISHED.encode(architecture) is architecture


@pytest.mark.parametrize("name", reference_names())
@settings(max_examples=5)
@given(seed=seeds)
def test_mutants_of_a_published_architecture_stay_in_the_space_and_keep_their_head(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    genome = load_reference(name)
    for _ in range(3):
        child, words = PUBLISHED.mutate(genome, rng=rng)
        assert PUBLISHED.contains(child)
        assert child.fingerprint() != genome.fingerprint()
        assert replace(child, hidden_size=1, operators=genome.operators) == replace(genome, hidden_size=1), words
        genome = child


@given(seed=seeds)
def test_a_mutation_changes_one_operator_two_places_or_the_width(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = SPACE.sample(rng=rng)
    after, words = SPACE.mutate(before, rng=rng)
    if "width" in words:
        assert words == f"width {before.hidden_size} → {after.hidden_size}"
        assert after.letters == before.letters
        return
    assert after.hidden_size == before.hidden_size
    old, new = list(before.operators), list(after.operators)
    if "insert" in words:
        position = int(words.partition("[")[2].partition("]")[0])
        del new[position]
        assert new == old
    elif "remove" in words:
        position = int(words.partition("[")[2].partition("]")[0])
        del old[position]
        assert new == old
    else:
        changed = [index for index, (one, other) in enumerate(zip(old, new, strict=True)) if one != other]
        assert len(changed) == (2 if "swap" in words else 1)
        assert Counter(old) == Counter(new) or "swap" not in words


def test_default_operators_follow_the_width_and_menu_operators_stay() -> None:
    genome = Architecture(
        hidden_size=64, operators=(*build("a f d").operators, WIDE_FFN, ODD_MAMBA), vocab_size=256, norm_eps=1e-5
    )
    wider = SPACE.fit(genome, lambda candidate: candidate.hidden_size <= 128)
    assert wider == replace(
        genome, hidden_size=128, operators=(*build("a f d", hidden_size=128).operators, WIDE_FFN, ODD_MAMBA)
    )


def test_links_follow_the_width_too() -> None:
    attention = build("a").operators[0]
    genome = build("a f a", operators=(attention, WIDE_FFN, with_kv_source(attention, 0)))
    wider = SPACE.fit(genome, lambda _: True)
    assert wider is not None
    assert wider.hidden_size == 192
    assert kv_source(wider.operators[2]) == 0


def test_a_link_to_an_operator_that_outgrows_its_reader_is_dropped() -> None:
    windowed = AttentionSpec(num_heads=4, num_kv_heads=1, head_dim=64, window=7)
    space = replace(SPACE, menu=(windowed,), dimensions=Dimensions(head_dim=64, query_heads_per_kv_head=1))
    genome = build("a f", operators=(*build("a").operators, with_kv_source(windowed, 0)))
    assert space.contains(genome)
    wider = space.fit(genome, lambda candidate: candidate.hidden_size == 128)
    assert wider is not None
    assert kv_source(wider.operators[1]) is None


def test_links_are_kept_through_crossover_where_both_ends_survive() -> None:
    hymba = load_reference("hymba-1.5b")
    child = PUBLISHED.crossover(hymba, hymba, rng=np.random.default_rng(3))
    kept = [(index, kv_source(spec)) for index, spec in enumerate(child.operators) if kv_source(spec) is not None]
    original = {(index, kv_source(spec)) for index, spec in enumerate(hymba.operators)}
    assert child.depth == hymba.depth
    assert len(kept) >= 14
    assert set(kept) <= original


@pytest.mark.parametrize(
    "outside",
    [
        build("a"),
        build("(a f)x5"),
        build("f f"),
        build("m2 f"),
        build("a f", hidden_size=256),
        replace(build("a f"), hidden_size=128),
        "a f",
    ],
)
def test_what_breaks_a_limit_is_not_contained(outside: object) -> None:
    assert not SPACE.contains(outside)
    assert SPACE.contains(build("a f"))


def test_what_is_not_searched_does_not_matter() -> None:
    assert SPACE.contains(build("a f", vocab_size=99, num_meta_tokens=7, tie_embeddings=False, norm_eps=1e-5))


@given(seed=seeds)
def test_no_mutation_takes_the_last_mixer(seed: int) -> None:
    genome = build("a f f f")
    rng = np.random.default_rng(seed)
    for _ in range(5):
        genome, _ = SPACE.mutate(genome, rng=rng)
        assert any(map(is_mixer, genome.operators))


def test_samples_hold_about_as_many_ffns_as_mixers() -> None:
    rng = np.random.default_rng(0)
    letters = Counter(letter for _ in range(300) for letter in SPACE.sample(rng=rng).letters)
    assert 0.42 < letters["f"] / letters.total() < 0.55
    assert set(letters) == {"a", "w", "d", "m2", "f"}


def test_a_replacement_within_one_kind_says_which_dimension_changed() -> None:
    rng = np.random.default_rng(0)
    seen = {SPACE.mutate(build("a f"), rng=rng)[1] for _ in range(300)}
    assert "operators[1]: ffn intermediate_size 192 → 1000" in seen
    assert "operators[0]: attention → mamba2" in seen
    assert "operators[0] and [1]: swap attention and ffn" in seen


def test_a_space_of_one_genome_says_that_nothing_can_change() -> None:
    space = LayerwiseSpace(hidden_sizes=(64,), letters=("a",), max_operators=1, vocab_size=256)
    genome = space.sample(rng=np.random.default_rng(0))
    assert space.mutate(genome, rng=np.random.default_rng(0)) == (genome, "nothing to change")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"letters": ("f",)}, "needs a token mixer"),
        ({"letters": ()}, "needs a token mixer"),
        ({"letters": ("a", "mamba")}, "unknown letter 'mamba'"),
        ({"letters": "a"}, "letters must be a list"),
        ({"menu": (with_kv_source(build("a").operators[0], 0),)}, "Leave shares_kv_with out"),
        ({"menu": ("a",)}, "must be an operator spec; got str"),
        ({"min_operators": 3, "max_operators": 2}, "must not exceed max_operators"),
        ({"hidden_sizes": (100,)}, "Nearest: 64, 128"),
        ({"width_is_gene": 1}, "width_is_gene must be true or false"),
    ],
)
def test_an_impossible_space_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError) as caught:
        LayerwiseSpace(**{"hidden_sizes": (64,), "letters": ("a", "f"), "vocab_size": 256, **changes})
    assert words in str(caught.value)
